import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeKey } from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { createChallenges } from '../connectors/enrol/challenges.ts';
import { EnrolRequest } from '../gen/signet/connector/v1/connector.ts';
import { createRateLimiter } from '../rpc/rate-limiter.ts';
import type { CallContext, Connection } from '../rpc/service.ts';
import { type EnrolCalls, enrol, getChallenge } from './connector-enrol.ts';

const BURST = 3;

/** The calls, of which an address may make `BURST` at once, and one more each second. */
function made() {
  const clock = new ManualClock(1_000_000);
  const challenges = createChallenges({ clock, random: seededRandom(7) });
  const limiter = () => createRateLimiter({ limit: { perSecond: 1, burst: BURST }, clock });
  const calls = {
    api: { clock },
    enrolment: { challenges },
    limiters: { enrolments: limiter(), challenges: limiter() },
  } as unknown as EnrolCalls;
  const publicKey = Buffer.from(makeKey().spki);
  const from = (remoteAddress: string, peer: Partial<Connection['peer']>): CallContext =>
    ({ connection: { remoteAddress, peer } }) as CallContext;
  const challenge = (address: string, peer: Partial<Connection['peer']> = { kind: 'anonymous' }) =>
    getChallenge(calls, { publicKey }, from(address, peer));
  // One without a request in it, which is what is looked at next.
  const enrolment = (address: string) =>
    enrol(calls, EnrolRequest.decode(Buffer.alloc(0)), from(address, { kind: 'anonymous' }));
  return { clock, challenge, enrolment };
}

describe('calls by which connectors enrol', () => {
  for (const [who, first, same, other] of [
    ['an IPv4 address', '192.0.2.1', '::ffff:192.0.2.1', '192.0.2.2'],
    ['a /64 of IPv6', '2001:db8::1', '2001:db8:0:0:ffff::9', '2001:db8:0:1::1'],
  ] as const) {
    test(`${who} has ${BURST} challenges at once, with an SVID or without`, () => {
      const { clock, challenge } = made();
      for (let at = 1; at < BURST; at++) assertValue(challenge(first, { kind: 'svid' }));
      assertValue(challenge(same));
      assertRefused(challenge(same), 'RATE_LIMITED');
      assertRefused(challenge(first, { kind: 'svid' }), 'RATE_LIMITED');
      assertValue(challenge(other, { kind: 'svid' }));
      clock.advance(999);
      assertRefused(challenge(first), 'RATE_LIMITED');
      clock.advance(1);
      assertValue(challenge(first));
      assertRefused(challenge(first), 'RATE_LIMITED');
    });

    test(`${who} has ${BURST} enrolments at once, besides its challenges`, async () => {
      const { challenge, enrolment } = made();
      for (let at = 0; at < BURST; at++) assertValue(challenge(first));
      const codes: string[] = [];
      for (const address of [first, same, first, same, other]) {
        const done = await enrolment(address);
        codes.push(done.ok ? '' : done.error.code);
      }
      const [read] = codes;
      assert.notEqual(read, 'RATE_LIMITED');
      assert.deepEqual(codes, [read, read, read, 'RATE_LIMITED', read]);
    });
  }
});
