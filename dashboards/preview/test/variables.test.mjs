import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '../lib/problem.mjs';
import { builtIn, interpolate, settleVariables } from '../lib/variables.mjs';

const variant = (values, pattern) => ({ name: 'variant', values, shown: values.join(' + '), pattern });

test('a single value stands as it is, several become a regular expression', () => {
  assert.equal(interpolate('{variant=~"$variant"}', [variant(['fixed'])], 'promql'), '{variant=~"fixed"}');
  assert.equal(interpolate('{variant=~"${variant}"}', [variant(['buggy', 'fixed'])], 'promql'), '{variant=~"(buggy|fixed)"}');
});

test('several values are escaped for the string that holds the expression', () => {
  assert.equal(interpolate('$variant', [variant(['a.b', 'c'])], 'promql'), '(a\\\\.b|c)');
  assert.equal(interpolate('${variant:regex}', [variant(['a.b', 'c'])], 'promql'), '(a\\.b|c)');
});

test('the value of "All" wins over the list of all values', () => {
  assert.equal(interpolate('$variant', [variant(['buggy', 'fixed'], '.*')], 'promql'), '.*');
});

test('what is no variable stays', () => {
  assert.equal(interpolate('$1 of $other and [[variant]]', [variant(['fixed'])]), '$1 of $other and fixed');
});

test('an unknown format is named', () => {
  assert.throws(() => interpolate('${variant:sqlstring}', [variant(['fixed'])]), (error) =>
    error instanceof Problem && error.message.includes('sqlstring'));
});

test('a rate looks back over four scrapes, or further where the step is long', () => {
  const rateInterval = (step) => interpolate('$__rate_interval', builtIn({ from: 0, to: 60_000 }, step, 1));
  assert.equal(rateInterval(1), '4s');
  assert.equal(rateInterval(10), '11s');
  assert.equal(interpolate('$__range', builtIn({ from: 0, to: 60_000 }, 1, 1)), '60s');
});

test('a choice wins, then the saved value, then what Prometheus knows', async () => {
  const list = [
    { name: 'datasource', type: 'datasource' },
    { name: 'job', type: 'query', query: 'label_values(up, job)', current: { value: 'saved' } },
    { name: 'variant', type: 'query', query: { query: 'label_values(variant)' }, regex: '/^(?!none).*/', includeAll: true, current: { value: ['$__all'] } },
    { name: 'instance', type: 'query', query: 'label_values(instance)' },
  ];
  const asked = [];
  const ask = async (query) => {
    asked.push(query);
    return ['buggy', 'fixed', 'none'];
  };
  const settled = await settleVariables(list, new Map([['instance', ['here']]]), ask);
  assert.deepEqual(settled.map(({ values }) => values), [['prometheus'], ['saved'], ['buggy', 'fixed'], ['here']]);
  assert.equal(settled[2].shown, 'All');
  assert.deepEqual(asked, ['label_values(variant)']);
});

test('a choice for a variable that is not there is refused', async () => {
  await assert.rejects(settleVariables([{ name: 'job', type: 'constant', query: 'x' }], new Map([['jbo', ['x']]]), async () => []), /no variable jbo/);
});
