import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import type { Result } from '../../src/base/result.ts';
import type { CallContext } from '../../src/rpc/service.ts';
import { requireSecurityHeader } from './security-header.ts';

function judge(values: readonly string[]): Result<void> {
  const metadata = new Metadata();
  for (const value of values) metadata.add('workload.spiffe.io', value);
  const verdict = requireSecurityHeader({ metadata } as CallContext);
  assert.ok(!(verdict instanceof Promise));
  return verdict;
}

test('WEP-3 E1 the header stands once and says true, however the transport hands it on', () => {
  assert.ok(judge(['true']).ok);
  for (const values of [[], ['TRUE'], ['true', 'true'], ['true', 'false'], ['false', 'true']]) {
    const verdict = judge(values);
    assert.ok(!verdict.ok && verdict.error.code === 'WORKLOAD_HEADER_MISSING', values.join());
  }
});
