// Reads traces of a finished run back by ID and compares them with what was
// sent. Which ones, tempo-perf says.

import { corpusOf, readLoad } from './lib/load.js';
import { guarded } from './lib/log.js';
import { optionsOf, waitForStart } from './lib/options.js';
import { readbackIteration, readbackScenario } from './lib/readback.js';
import { summaryOf } from './lib/summary.js';

const load = readLoad(['readback']);

export const options = optionsOf(load, { readback: readbackScenario(load) });
export const readback = guarded(readbackIteration(load, await corpusOf(load)));

export function setup() {
  return waitForStart(load);
}

export function handleSummary(data) {
  return summaryOf(load, data);
}
