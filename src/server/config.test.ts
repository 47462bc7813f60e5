import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkConfig, formatProblem } from '../runtime/config.ts';
import { fixedChanges, serverConfigJsonSchema, serverConfigSchema } from './config.ts';
import { protectionOf } from './protection.ts';

function read(text: string) {
  const checked = checkConfig(text, serverConfigSchema);
  if (!checked.ok) assert.fail(checked.problems.map(formatProblem).join('\n'));
  return checked.value;
}

test('a trust domain is all that is needed; defaults are those of SPIRE where it has them (C.2)', () => {
  const config = read('trustDomain: example.org\n');
  assert.deepEqual(
    [
      config.listen.port,
      config.listen.address,
      config.listen.minTlsVersion,
      config.listen.maxConnectionAge,
    ],
    [8081, '::', '1.3', 180],
  );
  assert.deepEqual(
    [protectionOf(config).caTtlSeconds, config.svid.x509Ttl, config.jwt.ttl],
    [86400, 3600, 300],
  );
  assert.deepEqual(
    [config.ca.keyType, config.jwt.keyType, config.keys.manager],
    ['ec-p256', undefined, 'disk'],
  );
  assert.deepEqual(config.ca.subject, { country: 'US', organization: 'SPIFFE' });
  assert.equal(config.dataDir, '/var/lib/signet/server');
  assert.equal(config.adminSocket.path, '/run/signet/server/private/api.sock');
  assert.equal(config.telemetry.port, undefined);
});

const refused: readonly (readonly [string, string])[] = [
  [
    'answers for pods that no rules tell of',
    'trustDomain: a\nkubernetes: {clusters: [{name: r, rules: {enabled: false}, istio: {}}]}',
  ],
  ['a trust domain in upper case', 'trustDomain: Example.org'],
  [
    'two upstreams',
    'trustDomain: a\nupstream:\n  disk: { certPath: /c, keyPath: /k }\n  spire: { address: h, workloadApi: "unix:///s" }',
  ],
  [
    'an upstream SVID of another trust domain',
    'trustDomain: a\nupstream:\n  spire: { address: h, workloadApi: "unix:///s", spiffeId: "spiffe://b/x" }',
  ],
  [
    'a Workload API that is no address',
    'trustDomain: a\nupstream:\n  spire: { address: h, workloadApi: /s }',
  ],
  ['a relative data directory', 'trustDomain: a\ndataDir: data'],
  ['a socket path of 108 bytes', `trustDomain: a\nadminSocket: {path: /${'x'.repeat(107)}}`],
  ['a relative socket path', 'trustDomain: a\nadminSocket: {path: api.sock}'],
  ['a TLS version of the past', 'trustDomain: a\nlisten: {minTlsVersion: "1.1"}'],
  ['an admin ID that is no SPIFFE ID', 'trustDomain: a\nadminIds: [admin]'],
  ['a country of three letters', 'trustDomain: a\nca: {subject: {country: USA}}'],
  ['a group that is not there', 'trustDomain: a\nadminSocket: {group: no-such-group-here}'],
  ['a CA that ends before its leaves', 'trustDomain: a\nca: {ttl: 59m}'],
  ['a CA that ends before agents', 'trustDomain: a\nsvid: {agentTtl: 25h}'],
  ['a batch limit above the wire’s 500', 'trustDomain: a\nlimits: {batchCsrs: 501}'],
  ['a backdate above an hour', 'trustDomain: a\nsvid: {backdate: 3601s}'],
];
for (const [name, text] of refused) {
  test(`refuses ${name}`, () => {
    assert.equal(checkConfig(text, serverConfigSchema).ok, false);
  });
}

test('takes a socket path of 107 bytes', () => {
  const path = `/${'x'.repeat(106)}`;
  assert.equal(read(`trustDomain: a\nadminSocket: {path: ${path}}`).adminSocket.path, path);
});

test('a group goes by its name in /etc/group, or by its number', () => {
  assert.equal(read('trustDomain: a\nadminSocket: {group: root}').adminSocket.group, 0);
  assert.equal(read('trustDomain: a\nadminSocket: {group: "1234"}').adminSocket.group, 1234);
});

test('of changed settings, those that need a restart are named', () => {
  const before = read('trustDomain: a\n');
  const changed = (text: string) => fixedChanges(before, read(`trustDomain: a\n${text}`));
  assert.deepEqual(changed(''), []);
  assert.deepEqual(changed('log: {level: debug}\nadminIds: [spiffe://a/x]'), []);
  assert.deepEqual(changed('svid: {x509Ttl: 2h, agentTtl: 3h}\njwt: {ttl: 1m}'), []);
  assert.deepEqual(
    changed('limits: {batchCsrs: 5, agentCalls: {burst: 7}, attestation: {perSecond: 0}}'),
    [],
  );
  assert.deepEqual(
    changed('limits: {connections: 5}\nlisten: {port: 1}\nca: {subject: {commonName: x}}'),
    [
      'listen.port',
      'ca.subject.country',
      'ca.subject.organization',
      'ca.subject.commonName',
      'limits.connections',
    ],
  );
  const paced = 'connectors: {sessionsPerSecond: 9, enrolmentsPerSecond: 8, enrolmentBurst: 7';
  const connectors = (text: string) =>
    fixedChanges(read('trustDomain: a\nconnectors: {}'), read(`trustDomain: a\n${text}}`));
  assert.deepEqual(connectors(paced), []);
  assert.deepEqual(connectors(`${paced}, heartbeat: 9s`), ['connectors.heartbeat']);
  assert.deepEqual(changed(`${paced}}`), ['connectors'], 'nor does a reload switch them on');
  assert.deepEqual(fixedChanges(before, read('trustDomain: b\n')), [
    'trustDomain.name',
    'trustDomain.id',
  ]);
});

test('the JSON Schema for editors has every section', () => {
  const text = JSON.stringify(serverConfigJsonSchema());
  for (const section of Object.keys(serverConfigSchema.shape))
    assert.ok(text.includes(`"${section}"`));
});
