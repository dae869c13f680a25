import { Problem } from './problem.mjs';

const DEADLINE_MS = 30_000;

/** Asks one Prometheus over its HTTP API. */
export class Prometheus {
  /** @param {string} url its address, with or without a path prefix */
  constructor(url) {
    if (!URL.canParse(url)) {
      throw new Problem(`--prometheus ${url} is not an address`, 'give one such as http://127.0.0.1:9090');
    }
    this.url = url.replace(/\/+$/, '');
  }

  /**
   * @param {string} expr PromQL
   * @param {{from: number, to: number}} range milliseconds
   * @param {number} step seconds
   * @returns {Promise<{metric: Record<string, string>, values: [number, string][]}[]>}
   */
  async overRange(expr, range, step) {
    // Grafana aligns the range to the step, so that a reload draws the same points.
    const align = (ms) => Math.floor(ms / 1000 / step) * step;
    const { result } = await this.#get('query_range', { query: expr, start: align(range.from), end: align(range.to), step });
    return result;
  }

  /** Like {@link overRange} at a single time, in milliseconds. */
  async at(expr, time) {
    const { resultType, result } = await this.#get('query', { query: expr, time: time / 1000 });
    if (resultType === 'scalar') return [{ metric: {}, values: [result] }];
    return result.map(({ metric, value, values }) => ({ metric, values: values ?? [value] }));
  }

  /**
   * Answers what Grafana calls a query variable: `label_values(metric, label)`, `label_values(label)`, `query_result(expr)`.
   * @param {string} query
   * @param {{from: number, to: number}} range milliseconds
   * @returns {Promise<string[]>} sorted, each once
   */
  async variable(query, range) {
    const labelValues = /^label_values\(\s*(?:(.*?)\s*,)?\s*(\w+)\s*\)$/s.exec(query.trim());
    if (labelValues) {
      const [, selector, label] = labelValues;
      const span = { start: range.from / 1000, end: range.to / 1000, ...(selector && { 'match[]': selector }) };
      return this.#get(`label/${label}/values`, span);
    }
    const queryResult = /^query_result\((.*)\)$/s.exec(query.trim());
    if (queryResult) {
      const series = await this.at(queryResult[1], range.to);
      return series.map(({ metric, values }) => `${seriesName(metric)} ${values[0][1]} ${values[0][0] * 1000}`).sort();
    }
    throw new Problem(
      `the variable query ${query} is not understood`,
      'use label_values(metric, label), label_values(label) or query_result(expr)',
    );
  }

  async #get(path, params) {
    // Expressions are long, so they are posted; the values of a label can only be asked for with GET.
    const query = new URLSearchParams(params);
    const address = `${this.url}/api/v1/${path}`;
    const signal = AbortSignal.timeout(DEADLINE_MS);
    let answer;
    try {
      answer = path.startsWith('query')
        ? await fetch(address, { method: 'POST', body: query, signal })
        : await fetch(`${address}?${query}`, { signal });
    } catch (error) {
      throw new Problem(
        `Prometheus at ${this.url} does not answer: ${error.cause?.message ?? error.message}`,
        'start it, or give its address with --prometheus',
      );
    }
    const body = await answer.json().catch(() => null);
    if (body?.status === 'success') return body.data;
    throw new Problem(
      `Prometheus at ${this.url} answered ${answer.status} to ${params.query ?? params['match[]'] ?? path}: ${body?.error ?? 'not JSON'}`,
      body ? 'correct the expression' : 'is this address really a Prometheus?',
    );
  }
}

/** How Prometheus writes a series: `name{label="value"}`. */
export function seriesName({ __name__: name = '', ...labels }) {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return pairs.length > 0 || !name ? `${name}{${pairs.join(', ')}}` : name;
}

/**
 * A legend's text for one series. `{{label}}` is replaced; without a format Grafana names the series by its labels.
 * @param {string | undefined} format
 * @param {Record<string, string>} metric
 */
export function legend(format, metric) {
  if (!format || format === '__auto') return seriesName(metric);
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '');
}

/**
 * The data frames Grafana makes of an answer, as plain objects.
 * @param {{metric: Record<string, string>, values: [number, string][]}[]} series
 * @param {{refId: string, format?: string, legendFormat?: string}} target
 * @param {{step?: number, valueName?: string}} options `step` in seconds lets the plot break the line where samples are missing
 */
export function toFrames(series, target, { step, valueName = 'Value' } = {}) {
  if (target.format === 'table') return [toTable(series, target, valueName)];
  if (target.format === 'heatmap') return toFrames(toBuckets(series), { ...target, format: 'time_series' }, { step });
  return series.map(({ metric, values: samples }) => {
    const values = step ? withGaps(samples, step) : samples;
    return {
      refId: target.refId,
      fields: [
        { name: 'Time', type: 'time', config: step ? { interval: step * 1000 } : {}, values: values.map(([time]) => time * 1000) },
        {
          name: 'Value',
          type: 'number',
          labels: metric,
          config: { displayNameFromDS: legend(target.legendFormat, metric) },
          values: values.map(([, value]) => toNumber(value)),
        },
      ],
    };
  });
}

/** One empty sample where some are missing, for the plot would draw a line from one run to the next. */
function withGaps(samples, step) {
  return samples.flatMap((sample, index) => {
    const [time] = sample;
    const next = samples[index + 1]?.[0] ?? time;
    return next - time > 1.5 * step ? [sample, [time + step, 'NaN']] : [sample];
  });
}

/** Prometheus' buckets each hold all smaller ones too; a heatmap shows what each has of its own. */
function toBuckets(series) {
  const sorted = series.toSorted((a, b) => bucketEdge(a) - bucketEdge(b));
  return sorted.map(({ metric, values }, bucket) => {
    const below = new Map(sorted[bucket - 1]?.values);
    // Buckets are not scraped at one instant: a small negative difference is none.
    return { metric, values: values.map(([time, value]) => [time, String(Math.max(0, value - (below.get(time) ?? 0)))]) };
  });
}

function bucketEdge({ metric: { le } }) {
  return le === '+Inf' ? Infinity : Number(le);
}

function toTable(series, target, valueName) {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const rows = series.flatMap(({ metric, values }) => values.map(([time, value]) => ({ metric, time, value })));
  return {
    refId: target.refId,
    fields: [
      { name: 'Time', type: 'time', config: {}, values: rows.map(({ time }) => time * 1000) },
      ...labels.map((label) => ({ name: label, type: 'string', config: {}, values: rows.map(({ metric }) => metric[label] ?? '') })),
      { name: valueName, type: 'number', config: {}, values: rows.map(({ value }) => toNumber(value)) },
    ],
  };
}

/** A ratio with nothing below the line is NaN: no value, rather than one that breaks every scale. */
function toNumber(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : null;
}
