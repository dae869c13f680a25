import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { legend, Prometheus, seriesName, toFrames } from '../lib/prometheus.mjs';

const SERIES = [
  { metric: { __name__: 'up', job: 'a' }, values: [[1, '1'], [2, 'NaN']] },
  { metric: { __name__: 'up', job: 'b', zone: 'x' }, values: [[2, '0.5']] },
];

test('one frame a series, with times in milliseconds and gaps for what is no number', () => {
  const [first] = toFrames(SERIES, { refId: 'A', legendFormat: '{{ job }}' }, { step: 1 });
  const [time, value] = first.fields;
  assert.deepEqual([time.values, time.config.interval], [[1000, 2000], 1000]);
  assert.deepEqual([value.values, value.config.displayNameFromDS], [[1, null], 'a']);
});

test('a line is broken where samples are missing', () => {
  const [{ fields: [time, value] }] = toFrames([{ metric: {}, values: [[1, '1'], [2, '1'], [9, '1']] }], { refId: 'A' }, { step: 1 });
  assert.deepEqual([time.values, value.values], [[1000, 2000, 3000, 9000], [1, 1, null, 1]]);
});

test('one frame for a table, with a column for each label', () => {
  const [table] = toFrames(SERIES, { refId: 'B', format: 'table' }, { valueName: 'Value #B' });
  assert.deepEqual(
    table.fields.map(({ name, values }) => [name, values]),
    [['Time', [1000, 2000, 2000]], ['__name__', ['up', 'up', 'up']], ['job', ['a', 'a', 'b']], ['zone', ['', '', 'x']], ['Value #B', [1, null, 0.5]]],
  );
});

test('a heatmap gets what each bucket has of its own, smallest first', () => {
  const bucket = (le, value) => ({ metric: { le }, values: [[1, value]] });
  const frames = toFrames([bucket('+Inf', '7'), bucket('0.5', '4'), bucket('0.1', '1')], { refId: 'A', format: 'heatmap', legendFormat: '{{le}}' });
  assert.deepEqual(frames.map(({ fields: [, value] }) => [value.config.displayNameFromDS, value.values]), [['0.1', [1]], ['0.5', [3]], ['+Inf', [3]]]);
});

test('a series without a legend has the name that Prometheus gives it', () => {
  assert.equal(legend('__auto', SERIES[0].metric), 'up{job="a"}');
  assert.equal(seriesName({ __name__: 'up' }), 'up');
  assert.equal(seriesName({}), '{}');
});

test('a refused query names the expression and the reason', async (t) => {
  const url = await serve(t, 400, JSON.stringify({ status: 'error', error: 'unexpected end of input' }));
  await assert.rejects(new Prometheus(url).at('rate(', 0), /answered 400 to rate\(: unexpected end of input/);
});

test('a variable is asked for with its selector', async (t) => {
  const url = await serve(t, 200, (request) => JSON.stringify({ status: 'success', data: [request.url] }));
  const [asked] = await new Prometheus(url).variable('label_values(up{job=~"a,b"}, instance)', { from: 1000, to: 2000 });
  assert.equal(decodeURIComponent(asked), '/api/v1/label/instance/values?start=1&end=2&match[]=up{job=~"a,b"}');
  await assert.rejects(new Prometheus(url).variable('metrics(up)', { from: 0, to: 1 }), /metrics\(up\) is not understood/);
});

test('an answer from something else is told apart', async (t) => {
  const url = await serve(t, 200, '<html>');
  await assert.rejects(new Prometheus(url).at('up', 0), /answered 200 to up: not JSON/);
});

test('a Prometheus that is not there is named', async (t) => {
  const server = createServer();
  const url = await listen(server);
  await new Promise((closed) => server.close(closed));
  await assert.rejects(new Prometheus(url).at('up', 0), new RegExp(`Prometheus at ${url} does not answer`));
});

async function serve(t, status, body) {
  const server = createServer((request, answer) => answer.writeHead(status).end(typeof body === 'function' ? body(request) : body));
  t.after(() => server.close());
  return listen(server);
}

async function listen(server) {
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${server.address().port}`;
}
