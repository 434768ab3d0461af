// Lets k6 compute fixtures/trace-identity.json; tests/processes/k6_scripts/ingestion.rs runs it.

import { Identity } from '../../../k6/lib/identity.js';

const cases = JSON.parse(open(import.meta.resolve('../../../fixtures/trace-identity.json')));

export const options = { vus: 1, iterations: 1 };

export default function () {
  for (const wanted of cases) {
    const identity = new Identity(wanted.seed, wanted.run);
    identity.set(wanted.n);
    const found = {
      trace_id: identity.traceIdHex(),
      span_prefix: identity.prefixHex(),
      token: identity.tokenText(),
      session: identity.sessionText(),
    };
    for (const key of Object.keys(found)) {
      if (found[key] !== wanted[key]) {
        console.error(`DIFFERENT seed ${wanted.seed} run ${wanted.run} n ${wanted.n}: ${key} is ${found[key]}, not ${wanted[key]}`);
      }
    }
  }
  console.log(`CHECKED ${cases.length}`);
}
