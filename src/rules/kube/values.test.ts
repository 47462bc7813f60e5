import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { checkEntryId } from '../entry-id.ts';
import { FieldReader } from './fields.ts';
import { parseGoDuration } from './go-duration.ts';
import { type Labels, readLabelSelector, unmetRequirement } from './label-selector.ts';

describe("Go's durations", () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['1h', 3600],
    ['1h30m', 5400],
    ['1.5h', 5400],
    ['90s', 90],
    ['-1m', -60],
    ['+1m', 60],
    ['1500ms', 1.5],
    ['.5m', 30],
    ['1h0m0s', 3600],
    ['', undefined],
    ['1', undefined],
    ['1d', undefined],
    ['h', undefined],
    ['1 h', undefined],
    ['1h ', undefined],
    ['.s', undefined],
    ['--1h', undefined],
    ['2562047h', 2562047 * 3600],
    ['2562048h', undefined],
    [`${'9'.repeat(101)}h`, undefined],
  ];
  for (const [text, seconds] of cases) {
    it(`${JSON.stringify(text)} is ${seconds}`, () => assert.equal(parseGoDuration(text), seconds));
  }
});

describe('label selectors', () => {
  const selector = (spec: unknown, problem = false) => {
    const fields = new FieldReader({ podSelector: spec });
    const read = readLabelSelector(fields, 'podSelector');
    const answered = fields.answer(read);
    if (problem) assertRefused(answered, 'RULE_SPEC');
    return problem ? read : assertValue(answered);
  };
  const expression = (operator: string, values?: readonly string[]) => ({
    matchExpressions: [{ key: 'app', operator, ...(values === undefined ? {} : { values }) }],
  });
  const cases: readonly (readonly [unknown, Labels, boolean])[] = [
    [undefined, {}, true],
    [{}, { a: 'b' }, true],
    [{ matchLabels: { app: 'web' } }, { app: 'web', x: 'y' }, true],
    [{ matchLabels: { app: 'web' } }, { app: 'db' }, false],
    [{ matchLabels: { app: 'web' } }, {}, false],
    [{ matchLabels: { app: '' } }, { app: '' }, true],
    [{ matchLabels: { app: 'web', tier: 'x' } }, { app: 'web' }, false],
    [expression('In', ['web', 'db']), { app: 'db' }, true],
    [expression('In', ['web', 'db']), {}, false],
    [expression('NotIn', ['web']), {}, true],
    [expression('NotIn', ['web']), { app: 'web' }, false],
    [expression('Exists'), { app: '' }, true],
    [expression('Exists'), {}, false],
    [expression('DoesNotExist'), {}, true],
    [expression('DoesNotExist'), { app: 'x' }, false],
    [{ matchLabels: { constructor: 'x' } }, {}, false],
  ];
  for (const [spec, labels, fits] of cases) {
    it(`${JSON.stringify(spec)} ${fits ? 'selects' : 'leaves out'} ${JSON.stringify(labels)}`, () => {
      assert.equal(unmetRequirement(selector(spec), labels) === undefined, fits);
    });
  }

  it('say which requirement is not met', () => {
    const unmet = unmetRequirement(selector(expression('In', ['web', 'db'])), { app: 'x' });
    assert.equal(unmet, 'label app is "x": In (web, db)');
  });

  const malformed: readonly unknown[] = [
    7,
    [],
    { matchLabels: { 'a b': 'x' } },
    { matchLabels: { app: 'a b' } },
    { matchLabels: { app: 7 } },
    { matchLabels: { 'a/b/c': 'x' } },
    { matchLabels: { ['n'.repeat(64)]: 'x' } },
    { matchLabels: { app: 'v'.repeat(64) } },
    { matchExpressions: {} },
    { matchExpressions: ['x'] },
    { matchExpressions: [{ operator: 'Exists' }] },
    { matchExpressions: [{ key: 'a' }] },
    expression('Like', ['x']),
    expression('In', []),
    expression('NotIn'),
    expression('Exists', ['x']),
    { matchExpressions: Array.from({ length: 65 }, () => ({ key: 'a', operator: 'Exists' })) },
  ];
  for (const spec of malformed) {
    it(`refuse ${JSON.stringify(spec)?.slice(0, 60)}`, () => void selector(spec, true));
  }
});

describe('fields of rules', () => {
  it('refuse values of the wrong kind, the first of them by its path', () => {
    const fields = new FieldReader({ hint: 7, admin: 'yes', ttl: '-1h', federatesWith: ['A b'] });
    fields.text('hint');
    fields.flag('admin');
    fields.seconds('ttl');
    fields.trustDomains('federatesWith');
    const answered = fields.answer(1);
    assertRefused(answered, 'RULE_SPEC');
    assert.equal(answered.ok ? '' : answered.error.message, 'spec.hint is no text');
  });

  it('take null for absent', () => {
    const fields = new FieldReader({ hint: null, admin: null, ttl: null, list: null });
    assert.deepEqual(
      [fields.text('hint'), fields.flag('admin'), fields.seconds('ttl'), fields.texts('list')],
      ['', false, 0, []],
    );
    assertValue(fields.answer(1));
  });

  it('read no properties that JavaScript adds', () => {
    const fields = new FieldReader({});
    assert.equal(fields.text('constructor'), '');
    assertValue(fields.answer(1));
  });
});

describe('IDs of derived entries', () => {
  it('are not given to stored entries', () => {
    assertRefused(checkEntryId('derived.0123'), 'ENTRY_ID');
    assertValue(checkEntryId('derived'));
    assertValue(checkEntryId('underived.x'));
  });
});
