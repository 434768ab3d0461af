// Reads traces back by ID and compares them with what was sent.

import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter, Rate } from 'k6/metrics';
import { hex } from './identity.js';
import { report } from './log.js';
import encoding from 'k6/encoding';

const failed = new Rate('operation_failed');
const results = {
  found: new Counter('readback_found'),
  missing: new Counter('readback_missing'),
  partial: new Counter('readback_partial'),
  altered: new Counter('readback_altered'),
  unreadable: new Counter('readback_unreadable'),
};
const TAGS = { op: 'readback' };
const LISTED_DIFFERENCES = 4;
const LONGEST_PAUSE_MS = 1000;

export function readbackScenario(load) {
  const readback = load.readback;
  return {
    executor: 'shared-iterations',
    exec: 'readback',
    vus: Math.max(1, Math.min(readback.vus, readback.traces.length)),
    iterations: readback.traces.length,
    maxDuration: `${load.duration_ms}ms`,
    gracefulStop: `${load.graceful_stop_ms}ms`,
  };
}

export function readbackIteration(load, corpus) {
  const settings = load.readback;
  corpus.allocate(1, corpus.maxPayloadBytes());
  const base = settings.base_url.replace(/\/+$/, '');
  const params = {
    headers: Object.assign({}, load.headers, { Accept: 'application/json' }),
    tags: { op: 'readback', name: 'GET /api/v2/traces/{id}' },
    timeout: settings.timeout_ms,
  };

  return async function () {
    const n = settings.traces[exec.scenario.iterationInTest];
    const expected = await corpus.expected(n);
    const url = `${base}/api/v2/traces/${expected.traceId}`;
    const deadline = exec.scenario.startTime + settings.deadline_ms;
    let finding;
    let pauseMs = settings.pause_ms;
    for (;;) {
      const response = http.get(url, params);
      finding = judge(response, expected);
      failed.add(finding.kind === 'unreadable', TAGS);
      // A trace that differs will not mend; one that is incomplete may.
      if (finding.kind === 'found' || finding.kind === 'altered' || Date.now() >= deadline) {
        break;
      }
      sleep(Math.min(pauseMs, LONGEST_PAUSE_MS) / 1000);
      pauseMs *= 2;
    }
    results[finding.kind].add(1);
    if (finding.kind !== 'found') {
      report(settings.log_limit_per_vu, 'readback', {
        kind: finding.kind,
        n,
        id: expected.traceId,
        text: finding.text,
      });
    }
  };
}

function judge(response, expected) {
  // Tempo's v1 endpoint says 404 where v2 sends an empty trace.
  if (response.status === 404) {
    return { kind: 'missing', text: 'status 404' };
  }
  let answer;
  try {
    answer = response.status === 200 ? JSON.parse(response.body) : null;
  } catch (_) {
    answer = null;
  }
  if (answer === null || typeof answer.trace !== 'object') {
    return { kind: 'unreadable', text: `status ${response.status} ${response.error || response.body}` };
  }
  return compare(spansOf(answer.trace), expected);
}

function spansOf(trace) {
  const spans = [];
  for (const resource of trace.resourceSpans || []) {
    for (const scope of resource.scopeSpans || []) {
      for (const span of scope.spans || []) {
        spans.push(span);
      }
    }
  }
  return spans;
}

// Missing spans alone make a trace partial; anything that was not sent so
// makes it altered.
function compare(spans, expected) {
  if (spans.length === 0) {
    return { kind: 'missing', text: 'no spans' };
  }
  const differences = [];
  const left = Object.assign({}, expected.parents);
  let sessions = 0;
  for (const span of spans) {
    const id = idHex(span.spanId);
    const parent = idHex(span.parentSpanId);
    const wanted = expected.parents[id];
    if (wanted === undefined) {
      differences.push(`span ${id} was not sent`);
      continue;
    }
    if (left[id] === undefined) {
      differences.push(`span ${id} is there twice`);
    }
    delete left[id];
    if (idHex(span.traceId) !== expected.traceId) {
      differences.push(`span ${id} has trace ID ${idHex(span.traceId)}`);
    }
    if (parent !== wanted) {
      differences.push(`span ${id} has parent ${parent || 'none'}, not ${wanted || 'none'}`);
    }
    if (wanted === '') {
      checkText(span, 'tempo_perf.token', expected.token, differences);
    }
    const session = attribute(span, 'session.id');
    if (session !== undefined) {
      sessions++;
      checkText(span, 'session.id', expected.session, differences);
    }
  }
  const absent = Object.keys(left);
  if (absent.length === 0 && sessions !== expected.sessions) {
    differences.push(`${sessions} session.id attributes, not ${expected.sessions}`);
  }
  if (differences.length > 0) {
    const listed = differences.slice(0, LISTED_DIFFERENCES).join('; ');
    const more = differences.length - LISTED_DIFFERENCES;
    return { kind: 'altered', text: more > 0 ? `${listed}; and ${more} more` : listed };
  }
  if (absent.length > 0) {
    const listed = absent.slice(0, LISTED_DIFFERENCES).join(' ');
    return { kind: 'partial', text: `${absent.length} of ${expected.spans} spans are missing: ${listed}` };
  }
  return { kind: 'found', text: '' };
}

function attribute(span, key) {
  const pair = (span.attributes || []).find((each) => each.key === key);
  return pair === undefined ? undefined : (pair.value || {}).stringValue;
}

function checkText(span, key, wanted, differences) {
  const found = attribute(span, key);
  if (found !== wanted) {
    differences.push(`${key} of span ${idHex(span.spanId)} is ${found}, not ${wanted}`);
  }
}

// Bytes are base64 in Tempo's JSON.
function idHex(text) {
  return text ? hex(new Uint8Array(encoding.b64decode(text, 'std'))) : '';
}
