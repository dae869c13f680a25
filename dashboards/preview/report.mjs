#!/usr/bin/env node
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { onPage, save } from './lib/draw.mjs';
import { Problem, run } from './lib/problem.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** In CSS pixels: two charts fit beside each other. */
const WIDTH = 1250;
/** Whose charts stand below the verdicts in the README. */
const FIRST = 'oversold-stock';

const USAGE = `Cuts the pictures of the docs out of a run's report: the verdicts, light and dark, and the charts of each exercise.

usage: node report.mjs [DIR] [options]

  DIR             of the run's results (default: target/stampede/latest)
  --browser FILE  default: Chromium or Chrome on the PATH
  --out DIR       default: docs/images
`;

const OPTIONS = {
  browser: { type: 'string' },
  out: { type: 'string', default: join(ROOT, 'docs/images') },
};

await run(USAGE, OPTIONS, async (options, [directory = join(ROOT, 'target/stampede/latest')]) => {
  const report = join(resolve(directory), 'report.html');
  await access(report).catch(() => {
    throw new Problem(`there is no ${report}`, 'make one with: cargo run --release -- compare');
  });

  await onPage({ width: WIDTH, scale: 1, browser: options.browser }, async (page) => {
    await page.goto(pathToFileURL(report).href);
    // A report of many exercises folds them.
    await page.locator('.fold').evaluateAll((folds) => folds.forEach((fold) => { fold.open = true; }));
    const exercises = await page.locator('section.exercise').evaluateAll((sections) => sections.map(({ id }) => id));
    for (const theme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: theme });
      await picture(page, theme === 'dark' ? 'report-dark' : 'report', `section[aria-labelledby="verdicts"], #${FIRST}, #${FIRST} > .figures`, options);
    }
    await page.emulateMedia({ colorScheme: 'light' });
    for (const id of exercises) await picture(page, id, `#${id}, #${id} > .figures`, options);
  });
});

/** Everything but what is `shown` is left out, so that the picture has no more than it needs. */
async function picture(page, name, shown, { out }) {
  const style = await page.addStyleTag({
    content: `body > :not(main), main > :not(${shown}, .fold:has(${shown})), .fold > summary, section.exercise > :not(${shown}) { display: none !important }
      section { margin: 0 !important; padding: 0 !important; border: 0 !important } main { padding: 1rem !important }`,
  });
  await save(join(out, `${name}.png`), await page.locator('main').screenshot({ animations: 'disabled' }));
  await style.evaluate((element) => element.remove());
}
