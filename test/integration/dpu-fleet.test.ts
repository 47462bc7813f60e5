import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { X509SVIDResponse } from '../../src/gen/workload.ts';
import { eventually } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { Reading, securityHeader, workloadClient } from '../support/workload-api.ts';

describe('a quarantine of a DPU, by command line and real processes', () => {
  let fleet: Fleet;
  const file = (name: string): string => join(fleet.dir, name);

  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet.stop());

  interface RecordedAct {
    readonly act?: string;
    readonly dpu?: string;
    readonly reason?: string;
    readonly requestedBy?: string;
  }

  /** A record is searched once a checkpoint covers it, which may take a moment. */
  async function recorded(name: string): Promise<RecordedAct | undefined> {
    const data = join(fleet.dir, 'server/data');
    for (let tries = 0; tries < 50; tries++) {
      const found = (await fleet.json('ledger', 'search', '--data-dir', data)) as RecordedAct[];
      const record = found.find(({ act }) => act === name);
      if (record !== undefined) return record;
    }
    return undefined;
  }

  async function done(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await fleet.cli(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  }

  test('imports CSV, JSON and DPF objects, dry first, naming faulty rows', async () => {
    const agentId = await fleet.agentId();
    writeFileSync(
      file('dpus.csv'),
      `serial,rack,zone,agent_ids\r\nMT1, r1 ,1,${agentId}\r\n\r\n"MT2","rack ""2""",,\n`,
    );
    assert.match(
      await done('dpu', 'import', file('dpus.csv'), '--dry-run'),
      /^Would be: 2 created/,
    );
    assert.match(await done('dpu', 'list'), /^0 DPUs/);
    assert.equal(
      await done('dpu', 'import', file('dpus.csv')),
      '2 created, 0 updated, 0 unchanged\n',
    );
    assert.equal(
      await done('dpu', 'import', file('dpus.csv')),
      '0 created, 0 updated, 2 unchanged\n',
    );
    writeFileSync(
      file('dpf.yaml'),
      `apiVersion: v1
kind: List
items:
- apiVersion: provisioning.dpu.nvidia.com/v1alpha1
  kind: DPUDevice
  metadata: { name: x }
  spec: { serialNumber: MT3, psid: MT_0000000884, opn: 900-9D3B6, bmcIp: 10.0.0.3 }
  status: { pf0Mac: 'AA:BB:CC:DD:EE:03', dpuMode: zero-trust, conditions: [] }
`,
    );
    await done('dpu', 'import', file('dpf.yaml'));
    const shown = await done('dpu', 'show', 'MT3');
    assert.match(shown, /^PSID +: MT_0000000884$/m);
    assert.match(shown, /^BMC +: 10\.0\.0\.3:443$/m);
    assert.match(shown, /^PF0 MAC +: aa:bb:cc:dd:ee:03$/m);
    writeFileSync(file('bad.csv'), 'serial,zone\nMT4,0\nMT 5,0\nMT6,7\n');
    const refused = await fleet.cli('dpu', 'import', file('bad.csv'));
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /2 rows are refused, nothing was written\nline 3: .*\nline 4: /);
    const list = await done('dpu', 'list');
    assert.ok(!list.includes('MT4'));
    assert.ok(list.split('\n').every((line) => line.length <= 80));
  });

  test('ends the streams of workloads at once, and what the agent holds is gone', async (context) => {
    await fleet.register('/web');
    const { api } = workloadClient(context, fleet.workloadSocket);
    const stream = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    assert.equal((await stream.message(1)).svids.length, 1);
    const said = await done('dpu', 'quarantine', 'MT1', '--reason', 'case opened');
    assert.equal(said, 'DPU MT1 is quarantined\n');
    const ended = await stream.ended();
    assert.equal(ended.code, status.PERMISSION_DENIED);
    assert.match(ended.details, /no identity issued/);
    const fetched = await fleet.cli('api', 'fetch');
    assert.equal(fetched.code, 1);
    assert.match(fetched.stderr, /WORKLOAD_DENIED|PermissionDenied/);
    const act = await recorded('quarantine');
    assert.deepEqual([act?.dpu, act?.reason], ['MT1', 'case opened']);
    assert.match(act?.requestedBy ?? '', /^local:\d+$/);
  });

  test('the agent lives on, also across its restart and that of the server', async () => {
    await fleet.stopAgent();
    await fleet.startAgent();
    await eventually(() => /node is in quarantine/.test(fleet.log('agent')));
    assert.equal((await fleet.cli('api', 'fetch')).code, 1);
    await fleet.stopServer();
    await fleet.startServer();
    const released = await done('dpu', 'release', 'MT1', '--reason', 'checked');
    assert.equal(released, 'DPU MT1 is enrolling, and has to attest in full\n');
    assert.equal((await fleet.cli('api', 'fetch')).code, 1);
  });

  test('takes effect while the database takes no write, across a kill', async () => {
    const path = join(fleet.dir, 'server/data/server.sqlite');
    const holder = new DatabaseSync(path);
    holder.exec('BEGIN IMMEDIATE');
    try {
      const { code, stderr } = await fleet.cli('dpu', 'quarantine', 'MT2', '--reason', 'now');
      assert.equal(code, 0, stderr);
      assert.match(stderr, /note: the database does not answer/);
      assert.match(await done('dpu', 'show', 'MT2'), /^State +: quarantined/m);
      await fleet.stopServer('SIGKILL');
    } finally {
      holder.close();
    }
    const kept = join(fleet.dir, 'server/data/local-holds');
    assert.ok(existsSync(kept) && readFileSync(kept, 'utf8').includes('MT2\tnow\t'));
    await fleet.startServer();
    assert.match(await done('dpu', 'show', 'MT2'), /^Reason +: now$/m);
    await eventually(() => readFileSync(kept, 'utf8') === 'signet-local-holds 1\n');
    const reader = new DatabaseSync(path, { readOnly: true });
    const row = reader.prepare("SELECT state FROM dpus WHERE serial = 'MT2'").get();
    reader.close();
    assert.equal(row?.state, 'quarantined');
  });

  test('says what is missing on the command line', async () => {
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [['quarantine', 'MT3'], /required option.*--reason|--reason/],
      [['quarantine', 'MT3', '--reason', ' '], /--reason: is empty/],
      [['show'], /takes one SERIAL/],
      [['baseline', 'MT3', '--reason', 'x'], /takes one of --window and --close/],
      [['commission', 'MT3', '--from-bmc', '--reason', 'x'], /DPU_COLLECTOR_ABSENT/],
      [['evidence', 'MT3'], /DPU_EVIDENCE_ABSENT/],
      [['list', '--state', 'fine'], /state/],
    ];
    for (const [args, wanted] of cases) {
      const { code, stderr } = await fleet.cli('dpu', ...args);
      assert.notEqual(code, 0, args.join(' '));
      assert.match(stderr, wanted);
    }
    const window = await done('dpu', 'baseline', 'MT3', '--window', '2h', '--reason', 'firmware');
    assert.match(
      window,
      /^DPU MT3 takes another baseline until .* \(in (1h 59m|2h)[^)]*\); it is enrolling$/m,
    );
    assert.match(await done('dpu', 'show', 'MT3'), /^Baseline till +: .*\(in (1h 59m|2h)/m);
  });
});
