// What is left of a run: JSON for tempo-perf, and a page to read.

export function summaryOf(load, data) {
  const run = load.run === null ? (data.setup_data || {}).run : load.run;
  const output = { stdout: render(load, run, data) };
  if (load.summary_path) {
    output[load.summary_path] = JSON.stringify({ state: data.state, metrics: data.metrics }, null, 1);
  }
  return output;
}

function render(load, run, data) {
  const lines = ['', `=== ${load.title}`, ''].concat(configuration(load, run), ['']);
  const names = Object.keys(data.metrics).sort();
  const width = Math.max(...names.map((name) => name.length)) + 2;
  for (const kind of ['counter', 'rate', 'trend', 'gauge']) {
    for (const name of names) {
      const metric = data.metrics[name];
      // Of the metrics that were never touched the JSON tells.
      if (metric.type === kind && !untouched(metric)) {
        lines.push(`  ${name.padEnd(width)}${values(metric)}`);
      }
    }
  }
  const bounds = [];
  for (const name of names) {
    const thresholds = data.metrics[name].thresholds || {};
    for (const expression of Object.keys(thresholds)) {
      const outcome = untouched(data.metrics[name]) && data.metrics[name].type !== 'counter' ? 'NO DATA' : thresholds[expression].ok ? 'ok' : 'CROSSED';
      bounds.push(`  ${outcome.padEnd(9)}${name}: ${expression}`);
    }
  }
  if (bounds.length > 0) {
    lines.push('', 'thresholds', ...bounds);
  }
  return lines.join('\n') + '\n\n';
}

function configuration(load, run) {
  const lines = [
    `  duration ${load.duration_ms / 1000} s, traces ${load.trace_profile}, seed ${load.seed}, run ${run}`,
  ];
  if (load.ingestion) {
    const each = load.ingestion;
    lines.push(
      `  ingestion ${each.url}`,
      `    ${each.rate_per_1000s / 1000} requests/s of ${each.traces_per_request} traces, ` +
        `${each.pre_allocated_vus} to ${each.max_vus} VUs, warm-up ${each.warmup_requests} requests`
    );
  }
  if (load.query) {
    const each = load.query;
    lines.push(
      `  queries ${each.base_url}`,
      `    ${each.rate_per_1000s / 1000} queries/s, ${each.pre_allocated_vus} to ${each.max_vus} VUs, ` +
        `data older than ${each.visibility_delay_ms / 1000} s, warm-up ${each.warmup_queries} queries`
    );
    for (const query of each.mix.queries) {
      lines.push(`    ${String(query.weight).padStart(3)}  ${query.name}: ${query.traceql || query.tag || query.operation}`);
    }
  }
  if (load.readback) {
    lines.push(`  read-back ${load.readback.base_url}, ${load.readback.traces.length} traces`);
  }
  return lines;
}

function untouched(metric) {
  const each = metric.values;
  switch (metric.type) {
    case 'trend':
    case 'counter':
      return each.count === 0;
    case 'rate':
      return each.passes + each.fails === 0;
    default:
      return false;
  }
}

function values(metric) {
  const each = metric.values;
  const format = (value) => number(value) + (metric.contains === 'time' ? ' ms' : metric.contains === 'data' ? ' B' : '');
  switch (metric.type) {
    case 'counter':
      // No rate: k6 divides by the whole run, waiting for the start included.
      return format(each.count);
    case 'rate':
      return `${number(100 * each.rate)} %  ${each.passes} of ${each.passes + each.fails}`;
    case 'trend':
      return ['p(50)', 'p(95)', 'p(99)', 'max'].map((stat) => `${stat} ${format(each[stat])}`).join('  ') + `  of ${each.count}`;
    default:
      return format(each.value);
  }
}

function number(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}
