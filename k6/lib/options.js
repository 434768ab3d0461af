// Options and set-up that all scripts share.

import { sleep } from 'k6';
import { Gauge } from 'k6/metrics';

const startLate = new Gauge('start_late', true);

const TREND_STATS = ['count', 'min', 'avg', 'med', 'max', 'p(50)', 'p(90)', 'p(95)', 'p(99)'];

// What the summary tells of each trend: besides the usual, every percentile
// that a threshold names, in the spelling that tempo-perf looks for.
function trendStats(thresholds) {
  const named = Object.values(thresholds || {})
    .flat()
    .map((expression) => /^\s*p\(([\d.]+)\)/.exec(expression))
    .filter((match) => match !== null)
    .map((match) => `p(${Number(match[1])})`);
  return [...new Set(TREND_STATS.concat(named))];
}

export function optionsOf(load, scenarios) {
  return {
    scenarios,
    thresholds: load.thresholds,
    summaryTrendStats: trendStats(load.thresholds),
    // Each tag more is a time series more: neither URLs nor groups.
    systemTags: ['status', 'error_code', 'name', 'scenario'],
    setupTimeout: `${Math.max(0, (load.start_at_unix_ms || 0) - Date.now()) + 60000}ms`,
    noCookiesReset: true,
    maxRedirects: 0,
  };
}

// Runs when all VUs are ready, so scripts that were given the same time start
// together, however long each of them took to get here. What it returns, k6
// hands to every iteration.
export function waitForStart(load) {
  const late = load.start_at_unix_ms ? Date.now() - load.start_at_unix_ms : 0;
  if (late < 0) {
    sleep(-late / 1000);
  }
  startLate.add(Math.max(0, late));
  return { run: load.run === null ? Date.now() >>> 0 : load.run };
}
