// Pushes traces at a constant rate over OTLP/HTTP.
//
//   tempo-perf corpus
//   k6 run -e SIZE=medium -e TEMPO_ENDPOINT=http://localhost:4318 k6/ingestion-test.js

import { ingestionIteration, ingestionScenario } from './lib/ingestion.js';
import { corpusOf, readLoad } from './lib/load.js';
import { guarded } from './lib/log.js';
import { optionsOf, waitForStart } from './lib/options.js';
import { summaryOf } from './lib/summary.js';

const load = readLoad(['ingestion']);

export const options = optionsOf(load, { ingestion: ingestionScenario(load) });
export const push = guarded(ingestionIteration(load, await corpusOf(load)));

export function setup() {
  return waitForStart(load);
}

export function handleSummary(data) {
  return summaryOf(load, data);
}
