import { Problem } from './problem.mjs';
import { dateMath, dateTime, rangeUtil } from './grafana-data.mjs';

/**
 * @param {string} from what Grafana's time picker accepts, or seconds since 1970: `now-15m`, `2026-01-31T12:00:00Z`, `1769860800`
 * @param {string} to likewise
 * @returns {{from: number, to: number}} milliseconds since 1970
 */
export function parseTimeRange(from, to) {
  const range = { from: parseTime('--from', from), to: parseTime('--to', to) };
  if (range.from >= range.to) {
    throw new Problem(`--from ${from} is not before --to ${to}`, 'give the earlier time as --from');
  }
  return range;
}

function parseTime(option, text) {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  const moment = dateMath.parse(text);
  if (!moment?.isValid()) {
    throw new Problem(
      `${option} ${text} is not a time`,
      'use seconds since 1970, 2026-01-31T12:00:00Z, or now-15m',
    );
  }
  return moment.valueOf();
}

/**
 * The step that Grafana would query with: one point a pixel, but never finer than the scrape interval.
 * @param {{from: number, to: number}} range milliseconds
 * @param {number} points at most so many
 * @param {string} atLeast a duration, such as `1s`
 * @returns {number} seconds
 */
export function queryStep(range, points, atLeast) {
  const span = { from: dateTime(range.from), to: dateTime(range.to), raw: range };
  return rangeUtil.calculateInterval(span, points, atLeast).intervalMs / 1000;
}

/** Seconds in a duration such as `15s` or `1m`. */
export function durationSeconds(option, text) {
  try {
    return rangeUtil.intervalToSeconds(text);
  } catch {
    throw new Problem(`${option} ${text} is not a duration`, 'use a number and a unit: 500ms, 1s, 1m');
  }
}
