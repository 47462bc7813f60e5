import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { ERRORS, SignetError } from '../../src/base/errors.ts';
import { fail } from '../../src/base/result.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { server } from '../../test/support/companion.ts';
import { companionSettings, runCompanion } from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';
import { refusalOf } from './refusal.ts';

const refused = (serverCode?: string, cause?: Error) =>
  new SignetError('AGENT_SERVER_REFUSED', 'server: no', {
    ...(cause === undefined ? {} : { cause }),
    ...(serverCode === undefined ? {} : { details: { serverCode } }),
  });

for (const [what, error, code] of [
  ['the code of the server', refused('CONNECTOR_EXPIRED'), 'CONNECTOR_EXPIRED'],
  ['our own where it sent none', refused(), 'COMPANION_SERVER_REFUSED'],
  ['our own where it sent one of a later version', refused('NO_SUCH'), 'COMPANION_SERVER_REFUSED'],
  ['our own for what is no code', refused('toString'), 'COMPANION_SERVER_REFUSED'],
  [
    'our own where nobody answers',
    new SignetError('AGENT_SERVER_UNAVAILABLE', 'away'),
    'COMPANION_SERVER_UNAVAILABLE',
  ],
  ['what it is otherwise', new SignetError('COMPANION_PROOF', 'no token'), 'COMPANION_PROOF'],
] as const) {
  test(`a refusal is told by ${what}, with its action`, () => {
    const refusal = refusalOf(error);
    assert.deepEqual([refusal.code, refusal.action], [code, ERRORS[code].action]);
    assert.doesNotMatch(refusal.action, /\bagent\b/);
  });
}

test('what a server asks to wait is believed up to a minute, and never less than nothing', () => {
  for (const [text, ms] of [
    ['1500', 1500],
    ['60000', 60_000],
    ['60001', 60_000],
    ['-5', 0],
    ['Infinity', 0],
    ['x', 0],
  ] as const) {
    const metadata = new Metadata();
    metadata.set('signet-retry-after-ms', text);
    const cause = Object.assign(new TypeError('no'), { metadata });
    assert.equal(refusalOf(refused('CONNECTOR_SESSION_PACED', cause)).retryAfterMs, ms, text);
  }
});

test("the log of an enrolment that failed has the server's code, and what to do about that", async (context) => {
  const of = await server(context);
  of.refuse = () => fail('CONNECTOR_NODE', 'the node is in quarantine');
  const one = companionSettings(context, of);
  const path = join(one.folder, 'log');
  const fd = openSync(path, 'w');
  context.after(() => closeSync(fd));
  await runCompanion(context, one, { log: createLogger({ level: 'error', fd }) });
  await soon(async () => readFileSync(path, 'utf8').includes('\n'));
  const [line = ''] = readFileSync(path, 'utf8').split('\n');
  const { msg, code, action, reason } = JSON.parse(line) as Record<string, string>;
  assert.deepEqual(
    [msg, code, action],
    ['not enrolled', 'CONNECTOR_NODE', ERRORS.CONNECTOR_NODE.action],
  );
  assert.match(reason ?? '', /quarantine/);
});
