#!/usr/bin/env node
import { execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { collect, readDashboard } from './lib/dashboard.mjs';
import { draw, save } from './lib/draw.mjs';
import { Problem, run } from './lib/problem.mjs';
import { Prometheus } from './lib/prometheus.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Drawn over the runs of all exercises. */
const ACROSS = ['stampede-overview', 'stampede-load'];
/** As in the generated configuration of Prometheus, which says where the servers under test are listed. */
const METRICS_PORT = 9646;
const SCRAPE_INTERVAL = '1s';
const START_DEADLINE_MS = 30_000;

const USAGE = `Runs the exercises with a Prometheus beside them, and draws their dashboards for the docs.

usage: node record.mjs [exercise …] [options]

  --stampede FILE    default: target/release/stampede
  --prometheus FILE  the server's program (default: prometheus)
  --duration D       of each variant (default: 20s)
  --port N           where this Prometheus listens (default: 9390)
  --out DIR          default: docs/images
`;

const OPTIONS = {
  stampede: { type: 'string', default: join(ROOT, 'target/release/stampede') },
  prometheus: { type: 'string', default: 'prometheus' },
  duration: { type: 'string', default: '20s' },
  port: { type: 'string', default: '9390' },
  out: { type: 'string', default: join(ROOT, 'docs/images') },
};

await run(USAGE, OPTIONS, async (options, positionals) => {
  const home = await mkdtemp(join(tmpdir(), 'stampede-prometheus-'));
  const address = `127.0.0.1:${options.port}`;
  const server = start(options.prometheus, [
    `--config.file=${join(ROOT, 'dashboards/prometheus/prometheus.yml')}`,
    `--storage.tsdb.path=${join(home, 'data')}`,
    `--web.listen-address=${address}`,
    '--log.level=warn',
  ], join(home, 'log'));
  try {
    await ready(`http://${address}/-/ready`, server, join(home, 'log'));
    const prometheus = new Prometheus(`http://${address}`);
    const exercises = positionals.length > 0 ? positionals : await registered(options);
    const ranges = [];
    for (const exercise of exercises) {
      ranges.push(await compare(options, exercise));
      await picture(exercise, ranges.at(-1), prometheus, options.out);
    }
    const all = { from: ranges[0].from, to: ranges.at(-1).to };
    for (const dashboard of ACROSS) await picture(dashboard, all, prometheus, options.out);
  } finally {
    server.kill();
    await server.ended;
    await rm(home, { recursive: true });
  }
});

/** The ids of all exercises. */
async function registered({ stampede }) {
  try {
    const { stdout } = await promisify(execFile)(stampede, ['list', '--json'], { cwd: ROOT });
    return JSON.parse(stdout).map(({ id }) => id);
  } catch (error) {
    throw new Problem(`cannot ask ${stampede} for the exercises: ${error.message}`, 'build it with: cargo build --release');
  }
}

/** Puts all variants of an exercise under load, one after the other. */
async function compare({ stampede, duration }, exercise) {
  const from = Date.now();
  const child = start(stampede, ['compare', exercise, '--duration', duration, '--rounds', '1', '--metrics-port', METRICS_PORT]);
  const code = await child.ended;
  // 1 says that a variant came out other than expected: the picture shows it.
  if (code !== 0 && code !== 1) {
    throw new Problem(`${stampede} compare ${exercise} ended with ${code}`, 'its own message is above; build it with: cargo build --release');
  }
  return { from, to: Date.now() };
}

async function picture(uid, range, prometheus, directory) {
  const width = 1280;
  const dashboard = await readDashboard(join(ROOT, `dashboards/grafana/${uid}.json`));
  const model = await collect(dashboard, prometheus, { range, chosen: new Map(), scrapeInterval: SCRAPE_INTERVAL, width });
  for (const note of model.notes) console.error(`note: ${uid}: ${note}`);
  const out = join(directory, `dashboard-${uid.replace(/^stampede-/, '')}.webp`);
  await save(out, await draw(model, { width, scale: 1.5, theme: 'dark' }));
}

/** Starts a program. `ended` is its exit code, or rejects where there is no such program. */
function start(program, args, log) {
  const child = spawn(program, args.map(String), { cwd: ROOT, stdio: ['ignore', 'inherit', log ? 'pipe' : 'inherit'] });
  if (log) child.stderr.pipe(createWriteStream(log));
  child.ended = new Promise((ended, failed) => {
    child.once('exit', (code, signal) => ended(code ?? signal));
    child.once('error', (error) => failed(new Problem(`cannot start ${program}: ${error.message}`, 'see --help for how to name it')));
  });
  return child;
}

async function ready(url, server, log) {
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const code = await Promise.race([server.ended, new Promise((after) => setTimeout(after, 200))]);
    if (code !== undefined || Date.now() > deadline) {
      throw new Problem(
        `Prometheus ${code === undefined ? 'is not ready in time' : `ended with ${code}`}: ${(await readFile(log, 'utf8')).trim()}`,
        'is its port free? Choose another one with --port',
      );
    }
    if (await fetch(url).then(({ ok }) => ok, () => false)) return;
  }
}
