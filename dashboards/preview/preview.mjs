#!/usr/bin/env node
import { collect, readDashboard } from './lib/dashboard.mjs';
import { draw, save } from './lib/draw.mjs';
import { Problem, run } from './lib/problem.mjs';
import { Prometheus } from './lib/prometheus.mjs';
import { parseTimeRange } from './lib/time.mjs';

const USAGE = `Draws a Grafana dashboard with a Prometheus' data, without a Grafana.

usage: node preview.mjs <dashboard.json> [options]

  --out FILE             the picture to write, .png or .webp (default: out/<uid>.png)
  --prometheus URL       default: http://127.0.0.1:9090
  --from TIME --to TIME  now-15m, 2026-01-31T12:00:00Z or seconds since 1970 (default: the dashboard's own range)
  --var NAME=VALUE       value of a variable; give it again for several values
  --scrape-interval D    as in the data source's settings (default: 15s); \$__rate_interval is four times this
  --width PIXELS         default: 1280
  --scale N              pixels of the file for each of these (default: 2)
  --theme dark|light     default: dark
  --browser FILE         default: the first Chromium or Chrome on the PATH
`;

const OPTIONS = {
  out: { type: 'string' },
  prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
  from: { type: 'string' },
  to: { type: 'string' },
  var: { type: 'string', multiple: true, default: [] },
  'scrape-interval': { type: 'string', default: '15s' },
  width: { type: 'string', default: '1280' },
  scale: { type: 'string', default: '2' },
  theme: { type: 'string', default: 'dark' },
  browser: { type: 'string' },
};

await run(USAGE, OPTIONS, async (options, [path, ...rest]) => {
  if (!path || rest.length > 0) throw new Problem('give one dashboard file', 'see --help');

  const dashboard = await readDashboard(path);
  const width = positive('--width', options.width);
  const scale = positive('--scale', options.scale);
  if (!['dark', 'light'].includes(options.theme)) throw new Problem(`--theme ${options.theme} is not known`, 'use dark or light');
  const out = options.out ?? `out/${dashboard.uid ?? 'dashboard'}.png`;
  if (!/\.(png|webp)$/.test(out)) throw new Problem(`--out ${out} is no kind of picture known here`, 'let the name end in .png or .webp');
  const model = await collect(dashboard, new Prometheus(options.prometheus), {
    range: parseTimeRange(options.from ?? dashboard.time?.from ?? 'now-15m', options.to ?? dashboard.time?.to ?? 'now'),
    chosen: chosenValues(options.var),
    scrapeInterval: options['scrape-interval'],
    width,
  });
  for (const note of model.notes) console.error(`note: ${note}`);

  const png = await draw(model, { width, scale, theme: options.theme, browser: options.browser });
  await save(out, png);
});

function positive(option, text) {
  const number = Number(text);
  if (!(number > 0)) throw new Problem(`${option} ${text} is not a positive number`, 'see --help');
  return number;
}

function chosenValues(assignments) {
  const chosen = new Map();
  for (const assignment of assignments) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(assignment) ?? [];
    if (!name) throw new Problem(`--var ${assignment} is not NAME=VALUE`, 'for example --var variant=buggy');
    chosen.set(name, [...(chosen.get(name) ?? []), value]);
  }
  return chosen;
}
