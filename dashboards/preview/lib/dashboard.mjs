import { readFile } from 'node:fs/promises';
import { GRID } from './grid.mjs';
import { Problem } from './problem.mjs';
import { legend, toFrames } from './prometheus.mjs';
import { durationSeconds, queryStep } from './time.mjs';
import { builtIn, interpolate, settleVariables } from './variables.mjs';

/** Grafana asks for annotations once a minute unless they say otherwise. */
const ANNOTATION_STEP = '60s';

/**
 * Reads a dashboard in Grafana's classic JSON form.
 * @param {string} path
 */
export async function readDashboard(path) {
  const text = await readFile(path, 'utf8').catch((error) => {
    throw new Problem(`cannot read the dashboard ${path}: ${error.message}`, 'generate it: cargo run -p dashboards');
  });
  let dashboard;
  try {
    dashboard = JSON.parse(text);
  } catch (error) {
    throw new Problem(`${path} is not JSON: ${error.message}`, 'give a dashboard file, such as dashboards/grafana/stampede-overview.json');
  }
  if (!Array.isArray(dashboard?.panels)) {
    throw new Problem(`${path} has no list of panels`, 'only the classic form is understood, not the v2 resource with "spec"');
  }
  return dashboard;
}

/**
 * Asks for everything that a dashboard shows.
 * @param {object} dashboard classic Grafana JSON
 * @param {import('./prometheus.mjs').Prometheus} prometheus
 * @param {object} view
 * @param {{from: number, to: number}} view.range milliseconds
 * @param {Map<string, string[]>} view.chosen values of variables
 * @param {string} view.scrapeInterval a duration, as in the data source's settings
 * @param {number} view.width of the picture, in CSS pixels
 * @returns {Promise<object>} a plain object that `page/main.jsx` can draw
 */
export async function collect(dashboard, prometheus, { range, chosen, scrapeInterval, width }) {
  const scrape = durationSeconds('--scrape-interval', scrapeInterval);
  const provided = (step) => builtIn(range, step, scrape);
  const variables = await settleVariables(dashboard.templating?.list ?? [], chosen, (query, soFar) =>
    prometheus.variable(interpolate(query, [...soFar, ...provided(scrape)], 'promql'), range));

  const panels = await Promise.all(dashboard.panels.map(async (panel) => {
    const step = queryStep(range, panel.maxDataPoints ?? panelWidth(panel, width), panel.interval || scrapeInterval);
    const known = [...variables, ...provided(step)];
    return {
      ...panel,
      title: interpolate(panel.title ?? '', known),
      description: interpolate(panel.description ?? '', known),
      ...(panel.type === 'text' && { options: { ...panel.options, content: interpolate(panel.options.content, known) } }),
      frames: await panelFrames(panel, prometheus, { range, step, variables: known, scrape }),
    };
  }));

  const annotations = await Promise.all((dashboard.annotations?.list ?? [])
    .filter(({ enable, expr }) => enable && expr)
    .map((annotation) => annotationRegions(annotation, prometheus, range, [...variables, ...provided(scrape)])));

  return {
    title: dashboard.title,
    range,
    variables,
    panels,
    annotations: annotations.flat(),
    links: (dashboard.links ?? []).map(({ title }) => title),
    notes: panels.flatMap(notesOn),
  };
}

function panelWidth(panel, width) {
  return Math.max(1, Math.round((width * (panel.gridPos?.w ?? GRID.columns)) / GRID.columns));
}

async function panelFrames(panel, prometheus, { range, step, variables, scrape }) {
  const targets = (panel.targets ?? []).filter(({ hide, expr }) => !hide && expr);
  const frames = await Promise.all(targets.map(async (target, index) => {
    const own = target.interval ? Math.max(step, durationSeconds('interval', interpolate(target.interval, variables))) : step;
    const known = own === step ? variables : [...variables, ...builtIn(range, own, scrape)];
    const expr = interpolate(target.expr, known, 'promql');
    const series = target.instant && !target.range
      ? await prometheus.at(expr, range.to)
      : await prometheus.overRange(expr, range, own);
    const named = { refId: String.fromCharCode(65 + index), ...target };
    return toFrames(series, named, {
      step: target.instant ? undefined : own,
      valueName: targets.length > 1 ? `Value #${named.refId}` : 'Value',
    });
  }));
  return frames.flat();
}

async function annotationRegions(annotation, prometheus, range, variables) {
  const step = durationSeconds('annotation step', annotation.step || ANNOTATION_STEP);
  const series = await prometheus.overRange(interpolate(annotation.expr, variables, 'promql'), range, step);
  return series.flatMap(({ metric, values }) => {
    const text = legend(annotation.titleFormat || annotation.name, metric);
    const regions = [];
    for (const [seconds, value] of values) {
      if (!(Number(value) > 0)) continue;
      const time = seconds * 1000;
      const last = regions.at(-1);
      if (last && time - last.to <= step * 1000) last.to = time;
      else regions.push({ from: time, to: time, color: annotation.iconColor ?? 'rgba(0, 211, 255, 1)', text });
    }
    return regions;
  });
}

function notesOn(panel) {
  const notes = [];
  if (panel.repeat) notes.push(`panel "${panel.title}" is drawn once, not repeated for each ${panel.repeat}`);
  if (panel.targets?.length && panel.frames.length === 0) notes.push(`panel "${panel.title}" has no data`);
  if (panel.type === 'row' && panel.collapsed && panel.panels?.length) {
    notes.push(`row "${panel.title}" is collapsed: its ${panel.panels.length} panels are not drawn`);
  }
  return notes;
}
