import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  serveUnix,
  temporaryFolder,
  testHost,
  untilAborted,
  workloadHandlers,
} from '../../test/support/rpc.ts';
import { testDomain, wireResponse, wireSvid } from '../../test/support/workload-response.ts';
import { fail, ok } from '../base/result.ts';
import { SpiffeWorkloadAPIService, type X509SVIDResponse } from '../gen/workload.ts';
import type { ResponseStream } from '../rpc/service.ts';
import { WorkloadClient } from './workload-client.ts';
import { X509Source } from './x509-source.ts';

const domain = testDomain('example.org');

/** A Workload API whose answers the test gives. */
async function api(context: TestContext, replaced: Parameters<typeof workloadHandlers>[0] = {}) {
  const host = testHost();
  const streams: ResponseStream<X509SVIDResponse>[] = [];
  const headers: unknown[] = [];
  let deny = (): void => {};
  host.addService(
    SpiffeWorkloadAPIService,
    workloadHandlers({
      fetchX509Svid: async (_, stream, call) => {
        headers.push(call.metadata.get('workload.spiffe.io'));
        streams.push(stream as ResponseStream<X509SVIDResponse>);
        stream.write(wireResponse([wireSvid(domain, '/web')]));
        const denied = new Promise<'denied'>((resolve) => {
          deny = () => resolve('denied');
        });
        const end = await Promise.race([untilAborted(call), denied]);
        return end === 'denied' ? fail('WORKLOAD_DENIED', 'no identity issued') : ok(undefined);
      },
      ...replaced,
    }),
  );
  const listener = await serveUnix(context, host);
  const client = new WorkloadClient(
    { kind: 'unix', path: listener.address },
    { backOff: { firstMs: 5, maxMs: 10 }, timeoutMs: 5000 },
  );
  context.after(() => client.close());
  return { client, streams, headers, deny: () => deny() };
}

test('WEP-3 every call carries the security header', async (context) => {
  const { client, headers } = await api(context);
  assertValue(await client.fetchX509Context());
  assert.deepEqual(headers, [['true']]);
});

test('WLAPI-7 a source holds what the last response said, and nothing of those before', async (context) => {
  const other = testDomain('other.test');
  const { client, streams } = await api(context);
  const source = new X509Source(client);
  context.after(() => source.close());
  await source.ready();
  const next = async (response: X509SVIDResponse) => {
    const seen = new Promise<void>((resolve) => {
      const end = source.subscribe(() => {
        end();
        resolve();
      });
    });
    streams[0]?.write(response);
    await seen;
    return assertValue(source.current());
  };
  const federated = await next(wireResponse([wireSvid(domain, '/a')], [other]));
  assert.deepEqual([...federated.bundles.keys()].sort(), ['example.org', 'other.test']);
  const alone = await next(wireResponse([wireSvid(domain, '/b')]));
  assert.deepEqual([...alone.bundles.keys()], ['example.org']);
  assert.equal(alone.svids[0].id.path, '/b');
});

test('WLAPI-16 after PermissionDenied nothing given before is held', async (context) => {
  const { client, deny } = await api(context);
  const source = new X509Source(client);
  context.after(() => source.close());
  await source.ready();
  deny();
  const lastMs = performance.now() + 5000;
  while (source.current().ok && performance.now() < lastMs) await sleep(1);
  assertRefused(source.current(), 'WORKLOAD_DENIED');
  // It asked again, and is given an identity again.
  await source.ready();
  assertValue(source.current());
});

test('a single fetch ends the call, and tells a refusal by its code', async (context) => {
  const { client } = await api(context, {
    fetchX509Svid: () => Promise.resolve(fail('WORKLOAD_DENIED', 'no identity issued')),
  });
  assertRefused(await client.fetchX509Context(), 'WORKLOAD_DENIED');
});

test('an agent that is not there is told as unavailable', async (context) => {
  const path = `${temporaryFolder(context)}/none.sock`;
  const client = new WorkloadClient({ kind: 'unix', path });
  context.after(() => client.close());
  assertRefused(await client.fetchX509Context(), 'WORKLOAD_UNAVAILABLE');
});

test('WLAPI-9 discards JWT answers without a token, or of another subject', async (context) => {
  for (const svids of [
    [],
    [{ spiffeId: 'spiffe://example.org/a', svid: '', hint: '' }],
    [{ spiffeId: 'spiffe://example.org/a', svid: 'a.b.c', hint: '' }],
  ]) {
    const { client } = await api(context, { fetchJwtsvid: () => ok({ svids }) });
    assertRefused(await client.fetchJwtSvids(['db']), 'WORKLOAD_RESPONSE_INVALID');
  }
});

test('WLAPI-9 discards a validation without SPIFFE ID', async (context) => {
  const { client } = await api(context);
  assertRefused(await client.validateJwtSvid('t', 'a'), 'WORKLOAD_RESPONSE_INVALID');
});
