import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type AdminRig, adminRig } from '../../test/support/connector-admin.ts';

const STATUS = {
  state: 'serving',
  activeFlows: 3,
  lastNack: null,
  degraded: ['disk', 'clock'],
  zpa: { certificateDays: 12, sites: [] },
  deep: { a: { b: { c: { d: 1 } } } },
  hops: [{ host: 'a' }, { host: 'b' }],
};

/** Connectors c1 and c2 of a group with sessions; c3 has none. */
async function started(context: TestContext): Promise<AdminRig> {
  const rig = await adminRig(context);
  const made = await rig.signet(['connector', 'group', 'create', 'db', '--proof', 'bound-key']);
  assert.equal(made.code, 0, made.err);
  for (const id of ['c1', 'c2', 'c3']) await rig.enrol(id, 'db');
  rig.sessions.say('c1');
  rig.sessions.say('c2');
  return rig;
}

const diagnose = ({ signet }: AdminRig, ...argv: string[]) =>
  signet(['connector', 'diagnose', ...argv]);

test('what a connector tells is a table of its fields, and lines as they are', async (context) => {
  const rig = await started(context);
  const { sessions } = rig;
  sessions.onDiagnose = (id) => {
    sessions.tellDiagnostics(id, JSON.stringify(STATUS), true);
    // Comes later, as what a hook prints does.
    setImmediate(() => sessions.tellDiagnostics(id, 'first line\nsecond \u202e line\n'));
  };
  const { code, out, err } = await diagnose(rig, 'c1');
  assert.equal(code, 0, err);
  assert.equal(
    out,
    [
      'Connector : c1',
      'Asked     : 2027-01-01T00:00:00Z (now)',
      'Answered  : after 0 ms',
      '',
      'state               : serving',
      'activeFlows         : 3',
      'lastNack            : none',
      'degraded            : disk',
      'degraded            : clock',
      'zpa.certificateDays : 12',
      'zpa.sites           : none',
      'deep.a.b.c          : …',
      'hops[0].host        : a',
      'hops[1].host        : b',
      '',
      'first line',
      'second \\u202e line',
      '',
    ].join('\n'),
  );
  const json = await diagnose(rig, 'c1', '-o', 'json');
  const { diagnostics } = JSON.parse(json.out);
  assert.deepEqual(
    diagnostics.map(({ id, parts }: { id: string; parts: unknown[] }) => [id, parts.length]),
    [['c1', 2]],
  );
});

test('those that do not answer are named with why; the others are printed', async (context) => {
  const rig = await started(context);
  const { sessions } = rig;
  sessions.onDiagnose = (id) => {
    if (id === 'c1') sessions.tellDiagnostics(id, 'all is well');
  };
  const whole = await diagnose(rig, '--group', 'db', '--within', '1s');
  assert.equal(whole.code, 1);
  assert.match(whole.out, /^Connector : c1$/m);
  assert.match(whole.out, /^all is well$/m);
  assert.match(whole.err, /2 of 3 failed/);
  assert.match(whole.err, /connector c3 has no session with this server/);
  assert.match(whole.err, /connector c2: no answer within 1 s/);
  const late = await diagnose(rig, 'c2', '--within', '1s');
  assert.match(late.err, /code: CONNECTOR_DIAGNOSTICS_LATE/);
  assert.match(late.err, /--last/);
  assert.equal(late.out, '');
});

test('a connector that refuses, or goes away, is not waited for', async (context) => {
  const rig = await started(context);
  const { sessions } = rig;
  sessions.onDiagnose = (id) => {
    if (id === 'c1') sessions.refuseDiagnostics(id, 'not built in');
    else sessions.end(id);
  };
  const refused = await diagnose(rig, 'c1', '--within', '10m');
  assert.match(refused.err, /connector c1: not built in/);
  assert.match(refused.err, /code: CONNECTOR_DIAGNOSTICS_REFUSED/);
  const gone = await diagnose(rig, 'c2', '--within', '10m');
  assert.match(gone.err, /code: CONNECTOR_NOT_CONNECTED/);
});

test('what was told last is printed without asking', async (context) => {
  const rig = await started(context);
  const { sessions } = rig;
  sessions.onDiagnose = (id) => sessions.tellDiagnostics(id, `of ${id}`);
  assert.equal((await diagnose(rig, 'c1')).code, 0);
  const asked = sessions.told.length;
  const group = await diagnose(rig, '--group', 'db', '--last');
  assert.match(group.out, /^of c1$/m);
  assert.equal(group.code, 0, group.err);
  const never = await diagnose(rig, 'c2', '--last');
  assert.match(never.err, /code: CONNECTOR_DIAGNOSTICS_NONE/);
  assert.equal(sessions.told.length, asked);
});

test('a time to wait that makes no sense is refused before anybody is asked', async (context) => {
  const rig = await started(context);
  for (const within of ['0s', '601s', 'soon']) {
    const { code, err } = await diagnose(rig, 'c1', '--within', within);
    assert.equal(code, 2, err);
    assert.match(err, /--within/);
  }
  assert.deepEqual(rig.sessions.told, []);
});
