// Pushes traces: one request of OTLP/HTTP in each iteration.

import http from 'k6/http';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { report } from './log.js';

const failed = new Rate('operation_failed');
const lag = new Trend('schedule_lag', true);
const sent = counters('sent');
const acknowledged = counters('acknowledged');
const refused = new Counter('refused_requests');

function counters(what) {
  return {
    bytes: new Counter(`${what}_bytes`),
    spans: new Counter(`${what}_spans`),
    traces: new Counter(`${what}_traces`),
    requests: new Counter(`${what}_requests`),
  };
}

function count(counters, request, tags) {
  counters.bytes.add(request.bytes, tags);
  counters.spans.add(request.spans, tags);
  counters.traces.add(request.payloads.length, tags);
  counters.requests.add(1, tags);
}

export function ingestionScenario(load) {
  const ingestion = load.ingestion;
  return {
    executor: 'constant-arrival-rate',
    exec: 'push',
    rate: ingestion.rate_per_1000s,
    timeUnit: '1000s',
    duration: `${load.scenario_ms}ms`,
    preAllocatedVUs: ingestion.pre_allocated_vus,
    maxVUs: ingestion.max_vus,
    gracefulStop: `${load.graceful_stop_ms}ms`,
  };
}

export function ingestionIteration(load, corpus) {
  const ingestion = load.ingestion;
  corpus.allocate(ingestion.traces_per_request, ingestion.max_request_bytes);
  const periodMs = 1e6 / ingestion.rate_per_1000s;
  const forOperation = (op) => ({
    tags: { op },
    params: {
      headers: Object.assign({}, load.headers, { 'Content-Type': 'application/x-protobuf' }),
      tags: { op, name: 'POST /v1/traces' },
      timeout: ingestion.timeout_ms,
      responseType: 'binary',
    },
  });
  const push = forOperation('push');
  const warmup = forOperation('warmup');

  return async function (shared) {
    const scenario = exec.scenario;
    const number = scenario.iterationInTest;
    if (number >= ingestion.requests) {
      return;
    }
    const now = Date.now();
    const { tags, params } = number < ingestion.warmup_requests ? warmup : push;
    lag.add(now - scenario.startTime - number * periodMs, tags);

    corpus.identity.useRun(shared.run);
    const request = await corpus.fill(number, now);
    const response = http.post(ingestion.url, request.body, params);

    count(sent, request, tags);
    const reason = refusal(response);
    failed.add(reason !== null, tags);
    if (reason === null) {
      count(acknowledged, request, tags);
      return;
    }
    refused.add(1, { op: tags.op, reason });
    report(ingestion.log_limit_per_vu, 'not-accepted', {
      request: number,
      first: number * ingestion.traces_per_request,
      traces: ingestion.traces_per_request,
      status: response.status,
      reason,
      text: response.error || bodyText(response.body),
    });
  };
}

// null when Tempo took everything: an answer without content, or with an empty
// partial_success. A partial_success that says anything is a refusal.
function refusal(response) {
  const status = response.status;
  if (status === 200) {
    const body = response.body === null ? new Uint8Array(0) : new Uint8Array(response.body);
    const empty = body.length === 0 || (body.length === 2 && body[0] === 0x0a && body[1] === 0);
    return empty ? null : 'partial';
  }
  if (status === 0) {
    return 'network';
  }
  if (status === 429 || status === 503) {
    return String(status);
  }
  return status >= 400 && status < 600 ? `${Math.floor(status / 100)}xx` : 'other';
}

function bodyText(body) {
  if (body === null) {
    return '';
  }
  // An answer in protobuf: the readable part of it will do.
  const bytes = new Uint8Array(body).subarray(0, 300);
  return String.fromCharCode.apply(null, bytes).replace(/[^ -~]+/g, ' ').trim();
}
