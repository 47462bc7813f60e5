import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JWTSVIDResponse, X509SVIDResponse } from '../../src/gen/workload.ts';
import { parseCertificates } from '../../src/x509/certificate.ts';
import { eventually, lives } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { assertValue } from '../support/refused.ts';
import { answerOf, Reading, securityHeader, workloadClient } from '../support/workload-api.ts';

/** When a token ends, in Unix seconds. */
function expiryOf(token: string): number {
  const [, claims = ''] = token.split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString()).exp;
}

/** When the first SVID of a message ends, in Unix milliseconds. */
function endOf(message: X509SVIDResponse | undefined): number {
  const [svid] = message?.svids ?? [];
  const [leaf] = assertValue(parseCertificates(svid?.x509Svid ?? new Uint8Array()));
  return leaf?.notAfterMs ?? 0;
}

const nowSeconds = () => Date.now() / 1000;

test('G10 a server that is away is not noticed by workloads, and its return is', async (context) => {
  const fleet = await Fleet.start({ x509SvidTtl: '24s', agentTtl: '1h', jwtTtl: '10s' });
  context.after(() => fleet.stop());
  await fleet.register('/web');
  const { api } = workloadClient(context, fleet.workloadSocket);
  const stream = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
  const first = await stream.message(1);
  const fetchToken = async (audience: string) => {
    const request = { audience: [audience], spiffeId: '' };
    const answer = await answerOf<JWTSVIDResponse>((done) =>
      api.fetchJwtsvid(request, securityHeader(), done),
    );
    return { ...answer, token: answer.value?.svids[0]?.svid ?? '' };
  };

  // An audience in use: its token is refreshed at half of its life, though the old one is good.
  const used = (await fetchToken('used')).token;
  let refreshed = used;
  while (refreshed === used) {
    await sleep(100);
    refreshed = (await fetchToken('used')).token;
  }
  await fleet.stopServer('SIGKILL');
  assert.ok(expiryOf(refreshed) > expiryOf(used));

  // Until the token of before the outage is over: what was refreshed ahead is served.
  while (nowSeconds() <= expiryOf(used)) await sleep(100);
  const during = await fetchToken('used');
  assert.equal(during.code, 0, during.details);
  assert.ok(expiryOf(during.token) > nowSeconds(), 'a token that is good now');
  const unused = await fetchToken('never asked for');
  assert.equal(unused.code, 14, 'one that nobody asked for before has to wait: Unavailable');

  // Streams live, and new ones get what is held.
  assert.equal(stream.end, undefined);
  const second = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
  assert.ok(endOf(await second.message(1)) > Date.now());
  second.cancel();

  await fleet.startServer();
  await eventually(() => endOf(stream.messages.at(-1)) > endOf(first), 60_000);
  assert.equal(stream.end, undefined, 'the stream is the one of before');
  assert.ok(lives(fleet.agentPid));
  const after = await fetchToken('asked for after');
  assert.equal(after.code, 0, after.details);
  await fleet.register('/new');
  await eventually(
    () => stream.messages.at(-1)?.svids.some(({ spiffeId }) => spiffeId.endsWith('/new')) === true,
    60_000,
  );
  stream.cancel();
});

test('an agent that starts while the server is away serves once it is back', async (context) => {
  const fleet = await Fleet.start({ agentYaml: 'startupGrace: 1s\n' });
  context.after(() => fleet.stop());
  await fleet.register('/web');
  await fleet.stopServer('SIGKILL');
  await fleet.stopAgent('SIGKILL');
  await fleet.startAgent();
  const { api } = workloadClient(context, fleet.workloadSocket);
  const early = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
  const { code } = await early.ended();
  assert.equal(code, 14, 'never PermissionDenied before it knows');
  await fleet.startServer();
  for (;;) {
    const stream = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    const answered = await Promise.race([stream.message(1).catch(() => undefined)]);
    stream.cancel();
    if (answered !== undefined) break;
    assert.equal(stream.end?.code, 14);
  }
});
