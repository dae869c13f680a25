import { Problem } from './problem.mjs';

const ALL = '$__all';

/**
 * @typedef {{name: string, values: string[], shown: string, pattern?: string, inHeader: boolean}} Variable
 *   `values` are what a query gets, `pattern` replaces them where "All" has its own expression,
 *   `shown` is what the dashboard's header says.
 */

/**
 * Settles the value of every variable of a dashboard.
 * @param {object[]} list the dashboard's `templating.list`
 * @param {Map<string, string[]>} chosen what the caller wants, by name
 * @param {(query: string, soFar: Variable[]) => Promise<string[]>} ask answers a query variable
 * @returns {Promise<Variable[]>} in the order of the list
 */
export async function settleVariables(list, chosen, ask) {
  for (const name of chosen.keys()) {
    if (!list.some((declared) => declared.name === name)) {
      throw new Problem(
        `the dashboard has no variable ${name}`,
        `its variables are: ${list.map((declared) => declared.name).join(', ') || 'none'}`,
      );
    }
  }
  const settled = [];
  for (const declared of list) {
    settled.push(await settle(declared, chosen.get(declared.name), (query) => ask(query, settled)));
  }
  return settled;
}

async function settle(declared, chosen, ask) {
  const variable = (values, shown = values.join(' + '), pattern = undefined) => ({
    name: declared.name,
    label: declared.label || declared.name,
    values,
    shown,
    pattern,
    inHeader: !declared.hide || declared.hide === 1,
  });
  if (chosen) return variable(chosen);

  const current = [declared.current?.value ?? []].flat().filter((value) => value !== '');
  if (declared.type === 'datasource') return variable(['prometheus'], 'Prometheus');
  if (declared.type !== 'query') {
    if (current.length > 0 && !current.includes(ALL)) return variable(current);
    if (declared.type !== 'custom') return variable([String(declared.query ?? '')]);
  } else if (current.length > 0 && !current.includes(ALL)) {
    return variable(current);
  }

  const options = declared.type === 'custom'
    ? String(declared.query).split(',').map((option) => option.trim().split(' : ').at(-1))
    : keepMatching(await ask(queryText(declared)), declared.regex);
  if (declared.includeAll) return variable(options, 'All', declared.allValue || undefined);
  return variable(options.slice(0, 1));
}

function queryText(declared) {
  return typeof declared.query === 'string' ? declared.query : declared.query?.query ?? '';
}

function keepMatching(options, regex) {
  if (!regex) return options;
  const [, pattern, flags] = /^\/(.*)\/([a-z]*)$/.exec(regex) ?? [null, regex, ''];
  const compiled = new RegExp(pattern, flags);
  return options.flatMap((option) => {
    const match = compiled.exec(option);
    return match ? [match[1] ?? option] : [];
  });
}

const REFERENCE = /\$\{(\w+)(?::(\w+))?\}|\$(\w+)|\[\[(\w+)\]\]/g;

/**
 * Replaces `$name`, `${name}`, `${name:format}` and `[[name]]` as Grafana does. What is not a known name stays.
 * @param {string} text
 * @param {Variable[]} variables
 * @param {'promql' | 'text'} [language] in PromQL several values become a regular expression
 */
export function interpolate(text, variables, language = 'text') {
  const byName = new Map(variables.map((variable) => [variable.name, variable]));
  return text.replace(REFERENCE, (reference, braced, format, plain, bracketed) => {
    const variable = byName.get(braced ?? plain ?? bracketed);
    return variable ? formatValue(variable, format ?? (language === 'promql' ? 'promql' : 'shown')) : reference;
  });
}

function formatValue({ values, shown, pattern }, format) {
  switch (format) {
    case 'shown': return shown;
    case 'raw': return values.join(',');
    case 'csv': return values.join(',');
    case 'pipe': return values.join('|');
    case 'queryparam': return values.map(encodeURIComponent).join(',');
    case 'regex':
    case 'promql': {
      if (pattern !== undefined) return pattern;
      // A single value may stand behind `=`, where a backslash would be part of it.
      if (values.length === 1 && format === 'promql') return values[0];
      const escaped = values.map((value) => value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
      // Inside a PromQL string each backslash is written twice.
      const alternatives = format === 'promql' ? escaped.map((value) => value.replaceAll('\\', '\\\\')) : escaped;
      return alternatives.length === 1 ? alternatives[0] : `(${alternatives.join('|')})`;
    }
    default:
      throw new Problem(
        `the variable format :${format} is not known here`,
        'use one of raw, csv, pipe, regex, queryparam, or teach lib/variables.mjs',
      );
  }
}

/**
 * The variables that Grafana itself provides to a query.
 * @param {{from: number, to: number}} range milliseconds
 * @param {number} step seconds
 * @param {number} scrape the scrape interval in seconds
 * @returns {Variable[]}
 */
export function builtIn(range, step, scrape) {
  const seconds = Math.round((range.to - range.from) / 1000);
  const values = {
    __from: range.from,
    __to: range.to,
    __range: `${seconds}s`,
    __range_s: seconds,
    __range_ms: seconds * 1000,
    __interval: duration(step),
    __interval_ms: step * 1000,
    // A rate needs two samples in its window even when one scrape is missed.
    __rate_interval: duration(Math.max(step + scrape, 4 * scrape)),
  };
  return Object.entries(values).map(([name, value]) => ({ name, values: [String(value)], shown: String(value) }));
}

function duration(seconds) {
  return Number.isInteger(seconds) ? `${seconds}s` : `${Math.round(seconds * 1000)}ms`;
}
