import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TrustBundle } from '../../src/gen/signet/connector/v1/connector.ts';
import { command, local, message, scrape, server, session } from '../../test/support/companion.ts';
import {
  CompanionServer,
  companionSettings,
  runCompanion,
} from '../../test/support/companion-server.ts';
import { makeCrl, makeCrlSigner } from '../../test/support/crl.ts';
import { soon } from '../../test/support/processes.ts';

// The server here is scripted: what it says is what ours never would.

const UPGRADE = { imageDigest: '', notBeforeMs: 0n, notAfterMs: 0n };

describe('a hostile server', () => {
  test('ends no companion by words with NUL, of megabytes, or of line ends', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const log = join(one.folder, 'log');
    const note = [
      '/bin/sh',
      '-c',
      'echo "$SIGNET_EVENT $SIGNET_VERSION$SIGNET_REASON" >>"$1"',
      'sh',
    ];
    one.settings.hooks = {
      upgrade: { command: [...note, log] },
      drain: { command: [...note, log] },
      segments: { command: [...note, log] },
    };
    await runCompanion(context, one);
    const first = await session(of, 1);
    const update = { full: true, segments: [], removedIds: [], baseVersion: '', last: true };
    const nonce = Buffer.from('s');
    first.send({ $case: 'segments', value: { ...update, version: '1\r\nX-A: b\0', nonce } });
    assert.match((await message(first, 'nack')).error, /version/);
    first.send(command({ $case: 'upgrade', value: { version: 'v\0w\u001b[2J', ...UPGRADE } }));
    await soon(async () => existsSync(log) && /upgrade v\?w\?\[2J/.test(readFileSync(log, 'utf8')));
    first.send(
      command({ $case: 'upgrade', value: { version: 'x'.repeat(3_000_000), ...UPGRADE } }),
    );
    await soon(async () => /upgrade x{1024}$/m.test(readFileSync(log, 'utf8')));
    first.send({
      $case: 'notice',
      value: { code: 'c'.repeat(1000), message: 'm\0', action: '\u001b' },
    });
    const deadlineMs = BigInt(Date.now() + 600_000);
    first.send(command({ $case: 'drain', value: { deadlineMs, reason: 'a\0b\nc' } }));
    await soon(async () => /^drain a\?b\?c$/m.test(readFileSync(log, 'utf8')));
    assert.equal((await local(one.folder, '/segments')).status, 200);
  });

  test('makes no more series of metrics than there are codes', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    for (let at = 0; at < 100; at++) {
      first.send({ $case: 'notice', value: { code: `CODE_${at}`, message: '', action: '' } });
    }
    const code = 'CONNECTOR_MESSAGE_UNKNOWN';
    first.send({ $case: 'notice', value: { code, message: '', action: '' } });
    await soon(async () => (await scrape(companion)).includes(code));
    const series = (await scrape(companion)).match(/^signet_connector_notices_total\{.*$/gm);
    assert.deepEqual(series, [
      'signet_connector_notices_total{code="other"} 100',
      `signet_connector_notices_total{code="${code}"} 1`,
    ]);
  });

  test('changes no trust by bundles that lack ours, or by a list that nobody of ours signed', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    await soon(async () => companion.health.report('ready').ok);
    const [own] = of.bundles();
    const foreign = makeCrl(makeCrlSigner(new CompanionServer().root), []);
    const other = { ...own!, trustDomain: 'other.test' };
    const none = Buffer.alloc(0);
    for (const [version, bundles, crl] of [
      ['none', [], none],
      ['another', [other], none],
      ['empty', [{ ...own!, x509Authorities: [] }], none],
      ['twice', [own!, own!], none],
      ['unreadable', [own!, { ...other, x509Authorities: [Buffer.from('0')] }], none],
      ['named', [own!, { ...other, trustDomain: '../../x' }], none],
      ['garbage', [own!], Buffer.from('no list')],
      ['foreign', [own!], Buffer.from(foreign)],
    ] satisfies [string, TrustBundle[], Buffer][]) {
      first.send({ $case: 'bundle', value: { bundles, crl, version, nonce: none } });
      await message(first, 'nack', (nack) => nack.version === version);
    }
    assert.equal(readFileSync(join(one.folder, 'out', 'ca.crt'), 'utf8'), of.root.pem);
    assert.equal(existsSync(join(one.folder, 'out', 'ca.crl')), false);
    const crl = Buffer.from(makeCrl(makeCrlSigner(of.root), []));
    const value = { bundles: [own!], crl, version: 'good', nonce: none };
    first.send({ $case: 'bundle', value });
    await message(first, 'ack', (ack) => ack.version === 'good');
    await soon(async () => existsSync(join(one.folder, 'out', 'ca.crl')));
  });
});
