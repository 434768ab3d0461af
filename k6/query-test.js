// Asks Tempo at a constant rate: searches, tags and traces by ID.
//
//   tempo-perf corpus
//   k6 run -e SIZE=medium -e TEMPO_QUERY_ENDPOINT=http://localhost:3200 k6/query-test.js

import { readLoad } from './lib/load.js';
import { guarded } from './lib/log.js';
import { optionsOf, waitForStart } from './lib/options.js';
import { queryIteration, queryScenario } from './lib/query.js';
import { summaryOf } from './lib/summary.js';

const load = readLoad(['query']);

export const options = optionsOf(load, { query: queryScenario(load) });
export const query = guarded(queryIteration(load));

export function setup() {
  return waitForStart(load);
}

export function handleSummary(data) {
  return summaryOf(load, data);
}
