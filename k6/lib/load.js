// What to do: the file that tempo-perf wrote (src/k6/load.rs has its schema),
// or, by hand, a size of a profile and the variables that override it.

import { openCorpus } from './corpus.js';

const BYTES_PER_MB = 1048576;
const UNITS_MS = { ms: 1, s: 1000, m: 60000, h: 3600000 };
const CORPUS_DIR = import.meta.resolve('../corpus');

// In the init context. `parts` of 'ingestion' and 'query' are what the script
// runs; by hand the others are left out.
export function readLoad(parts) {
  if (__ENV.TEMPO_PERF_LOAD) {
    const load = JSON.parse(open(__ENV.TEMPO_PERF_LOAD));
    for (const part of parts) {
      if (!load[part]) {
        throw new Error(`${__ENV.TEMPO_PERF_LOAD} has no "${part}", which this script runs`);
      }
    }
    if (load.bearer_token_file) {
      load.headers.Authorization = `Bearer ${open(load.bearer_token_file).trim()}`;
    }
    return load;
  }
  return byHand(parts);
}

export function corpusOf(load) {
  return openCorpus(load.corpus_dir, load.trace_profile, load.seed, load.run);
}

function byHand(parts) {
  if (parts.includes('readback')) {
    throw new Error('readback-test.js needs TEMPO_PERF_LOAD: it checks the traces of a run of tempo-perf');
  }
  const sizes = readJson('sizes.json');
  const name = __ENV.SIZE || 'medium';
  const size = sizes[name];
  if (size === undefined) {
    throw new Error(`SIZE=${name} is no profile; expected one of ${Object.keys(sizes).join(', ')}`);
  }
  const profile = __ENV.TRACE_PROFILE || size.trace_profile;
  if (!['small', 'medium', 'large', 'xlarge'].includes(profile)) {
    throw new Error(`TRACE_PROFILE=${profile} is unknown; expected small, medium, large or xlarge`);
  }
  const facts = readJson(`${profile}.json`);
  const durationMs = __ENV.DURATION ? duration('DURATION') : size.duration_ms;
  const vusMin = number('VUS_MIN', size.vus_min);
  const vusMax = number('VUS_MAX', size.vus_max);
  if (vusMin < 1 || vusMin > vusMax || !Number.isInteger(vusMin) || !Number.isInteger(vusMax)) {
    throw new Error(`VUS_MIN=${vusMin} and VUS_MAX=${vusMax} must be whole numbers, 1 <= VUS_MIN <= VUS_MAX`);
  }
  const load = {
    title: `${name}, by hand`,
    corpus_dir: CORPUS_DIR,
    trace_profile: profile,
    seed: facts.seed,
    // Set-up makes one, the same for all VUs, so that no two runs have the same traces.
    run: null,
    start_at_unix_ms: null,
    duration_ms: durationMs,
    scenario_ms: durationMs,
    graceful_stop_ms: 65000,
    ingestion: null,
    query: null,
    readback: null,
    thresholds: { iteration_exceptions: ['count==0'], dropped_iterations: ['count==0'] },
    summary_path: __ENV.SUMMARY_PATH || null,
    headers: __ENV.TEMPO_TENANT ? { 'X-Scope-OrgID': __ENV.TEMPO_TENANT } : {},
  };

  const mb = number('MB_PER_SECOND', size.mb_per_second);
  const solved = solve(size, profile, facts, mb);
  if (parts.includes('ingestion')) {
    load.ingestion = {
      url: `${endpoint('TEMPO_ENDPOINT', 'http://localhost:4318')}/v1/traces`.replace(/(\/v1\/traces)+$/, '/v1/traces'),
      rate_per_1000s: solved.rate,
      requests: Number.MAX_SAFE_INTEGER,
      traces_per_request: solved.traces,
      max_request_bytes: solved.traces * facts.max_bytes_per_trace,
      warmup_requests: Math.floor((solved.rate * size.warmup_ms) / 1e6),
      pre_allocated_vus: vusMin,
      max_vus: vusMax,
      timeout_ms: 60000,
      log_limit_per_vu: 20,
    };
    load.thresholds['operation_failed{op:push}'] = ['rate<0.01'];
    load.thresholds['http_req_duration{op:push}'] = [];
  }
  if (parts.includes('query')) {
    const rate = Math.round(1000 * number('QUERIES_PER_SECOND', size.queries_per_second));
    load.query = {
      base_url: endpoint('TEMPO_QUERY_ENDPOINT', 'http://localhost:3200'),
      rate_per_1000s: rate,
      queries: Number.MAX_SAFE_INTEGER,
      warmup_queries: Math.floor((rate * size.warmup_ms) / 1e6),
      pre_allocated_vus: vusMin,
      max_vus: vusMax,
      timeout_ms: 60000,
      mix: size.queries,
      visibility_delay_ms: __ENV.VISIBILITY_DELAY ? duration('VISIBILITY_DELAY') : 15000,
      search_window_ms: 900000,
      search_limit: 20,
      // Beside our own ingestion we know the IDs; alone, searches tell them.
      known_traces: parts.includes('ingestion')
        ? { rate_per_1000s: solved.rate, traces_per_request: solved.traces, requests: Number.MAX_SAFE_INTEGER, head_start_ms: 0 }
        : null,
      log_limit_per_vu: 20,
    };
    for (const op of ['search', 'trace_by_id', 'tags', 'tag_values']) {
      if (size.queries.queries.some((query) => query.operation === op)) {
        load.thresholds[`operation_failed{op:${op}}`] = ['rate<0.01'];
        load.thresholds[`http_req_duration{op:${op}}`] = [];
      }
    }
  }
  return load;
}

// The one piece of planning that is done here as in src/k6/load.rs, because
// MB_PER_SECOND and TRACE_PROFILE may ask for what no profile has.
function solve(size, profile, facts, mb) {
  if (mb === size.mb_per_second && profile === size.trace_profile) {
    return { rate: size.ingestion_rate_per_1000s, traces: size.traces_per_request };
  }
  const perSecond = (mb * BYTES_PER_MB) / facts.mean_bytes_per_trace;
  const most = Math.floor(Math.min(512 / facts.mean_spans_per_trace, perSecond / 10));
  const traces = Math.max(1, Math.min(most, facts.payloads));
  return { rate: Math.max(1, Math.round((1000 * perSecond) / traces)), traces };
}

function readJson(name) {
  try {
    return JSON.parse(open(`${CORPUS_DIR}/${name}`));
  } catch (error) {
    throw new Error(`no ${name} beside the scripts (k6/corpus): write it with "tempo-perf corpus" (${error.message || error})`);
  }
}

function endpoint(variable, byDefault) {
  const url = __ENV[variable] || byDefault;
  if (!/^https?:\/\/[^/]/.test(url)) {
    throw new Error(
      `${variable}=${url} is not an http:// or https:// URL: the scripts speak OTLP/HTTP and Tempo's HTTP API; ` +
        `expected for example ${variable}=${byDefault}`
    );
  }
  return url.replace(/\/+$/, '');
}

function number(variable, byDefault) {
  if (!__ENV[variable]) {
    return byDefault;
  }
  const value = Number(__ENV[variable]);
  if (!(value > 0) || value === Infinity) {
    throw new Error(`${variable}=${__ENV[variable]} is not a number above 0`);
  }
  return value;
}

function duration(variable) {
  const text = __ENV[variable];
  const parts = text.match(/\d+(\.\d+)?(ms|s|m|h)/g);
  if (parts === null || parts.join('') !== text) {
    throw new Error(`${variable}=${text} is not a duration; expected for example 30s, 5m or 1h30m`);
  }
  return Math.round(parts.reduce((sum, part) => sum + parseFloat(part) * UNITS_MS[part.replace(/[\d.]/g, '')], 0));
}
