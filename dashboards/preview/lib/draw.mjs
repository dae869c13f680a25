import { access, constants, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, extname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { Problem } from './problem.mjs';

const HOME = fileURLToPath(new URL('..', import.meta.url));
const BUNDLE = join(HOME, 'dist');
const GRAFANA_PUBLIC = join(HOME, 'node_modules/@grafana/ui/dist/public');
/** A name that never resolves: every request of the page is answered from files, nothing leaves the machine. */
const ORIGIN = 'http://preview.invalid';
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const DEADLINE_MS = 60_000;

/**
 * Draws what {@link collect} found.
 * @param {object} model
 * @param {{width: number, scale: number, theme: 'dark' | 'light', browser?: string}} look `width` in CSS pixels
 * @returns {Promise<Buffer>} a PNG, `scale` pixels for each CSS pixel
 */
export async function draw(model, { width, scale, theme, browser: path }) {
  await bundle();
  return onPage({ width, scale, browser: path }, async (page) => {
    const failures = [];
    page.on('pageerror', (error) => failures.push(error.message));
    await page.route('**/*', answerFromFiles);
    await page.goto(`${ORIGIN}/`);
    await page.evaluate((what) => window.drawDashboard(what), { ...model, width, theme });
    await page.waitForLoadState('networkidle');
    if (failures.length > 0) throw new Error(`the page failed: ${failures.join('; ')}`);
    return await page.locator('#dashboard').screenshot({ animations: 'disabled' });
  });
}

/**
 * Gives `work` an empty page of a browser that it can do with as it likes.
 * @template T
 * @param {{width: number, scale: number, browser?: string}} look `width` in CSS pixels
 * @param {(page: import('playwright-core').Page) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function onPage({ width, scale, browser: path }, work) {
  const executablePath = await findBrowser(path);
  const browser = await chromium.launch({ executablePath, args: ['--force-color-profile=srgb'] }).catch((error) => {
    throw new Problem(`${executablePath} does not start: ${error.message.split('\n')[0]}`, 'name another browser with --browser');
  });
  try {
    const page = await browser.newPage({ viewport: { width, height: 900 }, deviceScaleFactor: scale });
    page.setDefaultTimeout(DEADLINE_MS);
    return await work(page);
  } finally {
    await browser.close();
  }
}

async function findBrowser(named) {
  const candidates = named
    ? [resolve(named)]
    : BROWSERS.flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, name)));
  for (const candidate of candidates) {
    if (await access(candidate, constants.X_OK).then(() => true, () => false)) return candidate;
  }
  throw new Problem(
    named ? `there is no browser at ${named}` : `none of ${BROWSERS.join(', ')} is on the PATH`,
    'install Chromium (Debian: apt-get install chromium), or name one with --browser',
  );
}

/** Bundles the page. It takes a few seconds, so nothing is cached that could be stale. */
async function bundle() {
  await build({
    entryPoints: [join(HOME, 'page/main.jsx')],
    outdir: BUNDLE,
    bundle: true,
    minify: true,
    jsx: 'automatic',
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.woff2': 'dataurl', '.woff': 'empty', '.ttf': 'empty', '.svg': 'dataurl' },
  });
}

async function answerFromFiles(route) {
  const { pathname, origin } = new URL(route.request().url());
  if (origin !== ORIGIN) return route.abort();
  if (pathname === '/') {
    return route.fulfill({
      contentType: 'text/html',
      body: '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/main.css"><body><script src="/main.js"></script>',
    });
  }
  const icons = '/public/build/';
  const [root, rest] = pathname.startsWith(icons)
    ? [GRAFANA_PUBLIC, pathname.slice(icons.length)]
    : [BUNDLE, pathname.slice(1)];
  const path = join(root, rest);
  const body = path.startsWith(root + sep) && await readFile(path).catch(() => null);
  return body ? route.fulfill({ contentType: TYPES[extname(path)], body }) : route.fulfill({ status: 404 });
}

/**
 * Writes a picture and says so. It is as small as it goes without being seen: a palette for .png, and that without loss
 * for .webp.
 * @param {string} path
 * @param {Buffer} png
 */
export async function save(path, png) {
  const palette = sharp(png).png({ palette: true, quality: 80, dither: 0, effort: 10 });
  const bytes = extname(path) === '.webp'
    ? await sharp(await palette.toBuffer()).webp({ lossless: true, effort: 6 }).toBuffer()
    : await palette.toBuffer();
  await mkdir(dirname(resolve(path)), { recursive: true });
  await writeFile(path, bytes);
  console.log(`${path}: ${Math.ceil(bytes.length / 1000)} kB`);
}
