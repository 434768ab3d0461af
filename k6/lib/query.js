// Asks Tempo: one query in each iteration, by the plan's weighted order.

import http from 'k6/http';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { Identity, mix } from './identity.js';
import { report } from './log.js';

const failed = new Rate('operation_failed');
const lag = new Trend('schedule_lag', true);
const hits = new Counter('search_hits');
const empty = new Counter('search_empty');
const substituted = new Counter('queries_substituted');

const REMEMBERED_IDS = 200;

export function queryScenario(load) {
  const query = load.query;
  return {
    executor: 'constant-arrival-rate',
    exec: 'query',
    rate: query.rate_per_1000s,
    timeUnit: '1000s',
    duration: `${load.scenario_ms}ms`,
    preAllocatedVUs: query.pre_allocated_vus,
    maxVUs: query.max_vus,
    gracefulStop: `${load.graceful_stop_ms}ms`,
  };
}

export function queryIteration(load) {
  const settings = load.query;
  const queries = settings.mix.queries;
  const order = settings.mix.order;
  const base = settings.base_url.replace(/\/+$/, '');
  const periodMs = 1e6 / settings.rate_per_1000s;
  const known = settings.known_traces;
  const identity = new Identity(load.seed, load.run);
  // Of earlier answers to this VU, when the traces are not ours.
  const seen = [];

  const prepared = queries.map((query) => {
    const tags = (op) => ({ op, query: op === 'warmup' ? 'warmup' : query.name });
    const params = (op) => ({
      headers: load.headers,
      tags: Object.assign({ name: NAMES[query.operation] }, tags(op)),
      timeout: settings.timeout_ms,
    });
    return {
      query,
      tags: tags(query.operation),
      params: params(query.operation),
      warmupTags: tags('warmup'),
      warmupParams: params('warmup'),
    };
  });

  // The planned number of traces that were sent a visibility delay ago.
  function visibleTraces(now, scenarioStart) {
    const start = load.start_at_unix_ms || scenarioStart;
    const elapsed = now - start + known.head_start_ms - settings.visibility_delay_ms;
    if (elapsed < 0) {
      return 0;
    }
    const requests = Math.min(Math.floor((elapsed * known.rate_per_1000s) / 1e6) + 1, known.requests);
    return requests * known.traces_per_request;
  }

  function pickTraceId(number, now, scenarioStart) {
    const random = mix(mix(load.seed ^ 0x51ed270b) ^ identity.run ^ number) >>> 0;
    if (known) {
      const traces = visibleTraces(now, scenarioStart);
      if (traces === 0) {
        return null;
      }
      identity.set(Math.floor((random / 4294967296) * traces));
      return identity.traceIdHex();
    }
    return seen.length === 0 ? null : seen[random % seen.length];
  }

  // The query whose turn it is. As long as there is no trace to ask for by ID,
  // the next query of the order takes its place, so that the rate is held.
  function choose(number, now, scenarioStart) {
    for (let step = 0; step < order.length; step++) {
      const chosen = prepared[order[(number + step) % order.length]];
      if (chosen.query.operation !== 'trace_by_id') {
        return { chosen, traceId: null, step };
      }
      const traceId = pickTraceId(number, now, scenarioStart);
      if (traceId !== null) {
        return { chosen, traceId, step };
      }
    }
    return null;
  }

  return async function (shared) {
    const scenario = exec.scenario;
    const number = scenario.iterationInTest;
    if (number >= settings.queries) {
      return;
    }
    const now = Date.now();
    identity.useRun(shared.run);
    const warmup = number < settings.warmup_queries;
    const choice = choose(number, now, scenario.startTime);
    if (choice === null) {
      // Nothing but traces by ID in the mix, and none is visible yet.
      substituted.add(1);
      return;
    }
    if (choice.step > 0) {
      substituted.add(1);
    }
    const { chosen, traceId } = choice;
    const tags = warmup ? chosen.warmupTags : chosen.tags;
    lag.add(now - scenario.startTime - number * periodMs, tags);

    const response = http.get(
      base + pathOf(chosen.query, traceId, now, settings),
      warmup ? chosen.warmupParams : chosen.params
    );
    const wrong = judge(chosen.query.operation, response, (answer) => {
      const traces = answer.traces || [];
      if (!warmup) {
        (traces.length > 0 ? hits : empty).add(1, tags);
      }
      if (!known) {
        remember(seen, traces, number);
      }
    });
    failed.add(wrong !== null, tags);
    if (wrong !== null) {
      report(settings.log_limit_per_vu, 'query-failed', {
        query: chosen.query.name,
        status: response.status,
        text: wrong,
      });
    }
  };
}

// Values of the tag `name`: one for each endpoint, whatever the URL.
const NAMES = {
  search: 'GET /api/search',
  trace_by_id: 'GET /api/v2/traces/{id}',
  tags: 'GET /api/v2/search/tags',
  tag_values: 'GET /api/v2/search/tag/{tag}/values',
};

function pathOf(query, traceId, now, settings) {
  const endMs = now - settings.visibility_delay_ms;
  const end = Math.floor(endMs / 1000);
  const start = Math.min(Math.floor((endMs - settings.search_window_ms) / 1000), end - 1);
  const range = `start=${start}&end=${end}`;
  const filter = query.traceql ? `&q=${encodeURIComponent(query.traceql)}` : '';
  switch (query.operation) {
    case 'search':
      return `/api/search?${range}&limit=${settings.search_limit}${filter}`;
    case 'tags':
      return `/api/v2/search/tags?${range}${filter}`;
    case 'tag_values':
      return `/api/v2/search/tag/${encodeURIComponent(query.tag)}/values?${range}${filter}`;
    case 'trace_by_id':
      return `/api/v2/traces/${traceId}`;
    default:
      throw new Error(`unknown operation ${query.operation}`);
  }
}

// What is wrong with an answer, or null.
function judge(operation, response, onSearch) {
  if (response.status !== 200) {
    return response.error || String(response.body);
  }
  const body = response.body || '';
  if (operation === 'trace_by_id') {
    // An absent trace is 200 with an empty one. Parsing a large trace would
    // cost more than the request.
    return body.includes('"spans"') ? null : `no spans: ${body}`;
  }
  let answer;
  try {
    answer = JSON.parse(body);
  } catch (_) {
    return `not JSON: ${body}`;
  }
  // Tempo leaves out a list that is nil, but not the metrics.
  const list = answer[LISTS[operation]];
  if (!Array.isArray(list) && !(list === undefined && typeof answer.metrics === 'object')) {
    return `no ${LISTS[operation]}: ${body}`;
  }
  if (operation === 'search') {
    onSearch(answer);
  }
  return null;
}

const LISTS = { search: 'traces', tags: 'scopes', tag_values: 'tagValues' };

function remember(seen, traces, number) {
  for (const trace of traces) {
    // Search leaves out leading zeros.
    const id = trace.traceID.padStart(32, '0');
    if (seen.length < REMEMBERED_IDS) {
      seen.push(id);
    } else {
      seen[(mix(number) >>> 0) % REMEMBERED_IDS] = id;
    }
  }
}
