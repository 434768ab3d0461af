// Ingestion and queries side by side in one k6.
//
//   tempo-perf corpus
//   k6 run -e SIZE=medium -e TEMPO_ENDPOINT=http://localhost:4318 \
//     -e TEMPO_QUERY_ENDPOINT=http://localhost:3200 k6/combined-test.js

import { ingestionIteration, ingestionScenario } from './lib/ingestion.js';
import { corpusOf, readLoad } from './lib/load.js';
import { guarded } from './lib/log.js';
import { optionsOf, waitForStart } from './lib/options.js';
import { queryIteration, queryScenario } from './lib/query.js';
import { summaryOf } from './lib/summary.js';

const load = readLoad(['ingestion', 'query']);

export const options = optionsOf(load, {
  ingestion: ingestionScenario(load),
  query: queryScenario(load),
});
export const push = guarded(ingestionIteration(load, await corpusOf(load)));
export const query = guarded(queryIteration(load));

export function setup() {
  return waitForStart(load);
}

export function handleSummary(data) {
  return summaryOf(load, data);
}
