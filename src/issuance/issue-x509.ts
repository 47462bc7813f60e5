import type { AuthoritySource, X509Authority } from '../authority/authority.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { JwtGrant, X509Grant } from '../policy/grant.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { drawSerial, serialToDecimal } from '../x509/serial.ts';
import type { KeySource, LeafOrder } from './leaf.ts';
import type { IssuanceRecord, IssuanceRecorder } from './recorder.ts';
import { type Lifetimes, x509Validity } from './validity.ts';
import type { Workshop } from './workshop.ts';

/** One certificate asked for: leave to have it, and the key it is for. */
export interface LeafRequest {
  readonly grant: X509Grant;
  readonly source: KeySource;
}

/** A signed X.509-SVID. */
export interface IssuedX509 {
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, then intermediates; the root is left out (X509-25). */
  readonly chain: readonly Uint8Array[];
  /** Decimal: SPIRE's form on the wire. */
  readonly serialDecimal: string;
  /** Unix seconds. */
  readonly notBeforeSeconds: number;
  /** Unix seconds. */
  readonly expiresAtSeconds: number;
}

/** What every issuance stands on. */
export interface IssuanceContext {
  readonly authority: AuthoritySource;
  /** Judges a grant once more, by the registry of this very moment. */
  readonly recheck: (grant: X509Grant | JwtGrant) => Result<void>;
  readonly recorder: IssuanceRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly lifetimes: Lifetimes;
}

/**
 * Issues X.509-SVIDs, a batch at a time; each request has its own outcome, in order. Steps 1, 2 and
 * 4 run where the workshop stands (`leaf.ts`): on this thread or on a signing thread.
 */
export async function issueX509(
  requests: readonly LeafRequest[],
  workshop: Workshop,
  context: IssuanceContext,
): Promise<readonly Result<IssuedX509>[]> {
  const current = context.authority.currentX509();
  if (!current.ok) return requests.map(() => current);
  const authority = current.value;

  // 1. No name that was not granted, no key that was not proven: SPIFFE ID, DNS names and lifetime
  //    come from the grant, a CSR gives its key and nothing else.
  const orders = planOrders(requests, authority, context);

  // 2. Nothing reaches the key that was not linted: the drafts hold one-use tokens, made from
  //    bodies that the strict reader read back.
  const drafts = await workshop.draft(orders, authority, requests[0]?.grant.requestedBy ?? '');

  // 3. Nothing is signed that is not on record: what may be signed next, with the hash of every
  //    body, is durable before the first signature. A crash after this line leaves records of
  //    certificates that may not exist, never a certificate without a record.
  const records = recordsOf(orders, drafts.tbsHashes, authority);
  const recorded = records.length > 0 ? await context.recorder.append(records) : ok(undefined);
  if (!recorded.ok) {
    drafts.discard();
    return drafts.tbsHashes.map((drafted) => (drafted.ok ? recorded : drafted));
  }

  // 4. What leaves is what was linted, for whom it is still granted: each certificate was taken
  //    apart again and compared, and a ban or a changed entry that came meanwhile wins.
  const signed = await drafts.sign();
  const released = orders.map((order, index) => release(order, signed[index], context));

  // 5. One answer for each request, in its place (A.3 item 2).
  return released.map((leaf) => (leaf.ok ? ok(answerOf(leaf.value, authority)) : leaf));
}

/** An order and the grant that it carries out. */
interface PlannedOrder extends LeafOrder {
  readonly grant: X509Grant;
}

const SERIAL_BYTES = 16;

/** Serial numbers: 128 random bits, not zero, so that none repeats without a register of them (I1). */
function planOrders(
  requests: readonly LeafRequest[],
  authority: X509Authority,
  context: IssuanceContext,
): readonly PlannedOrder[] {
  const nowMs = context.clock.nowMs();
  const serials = context.random.bytes(SERIAL_BYTES * requests.length);
  return requests.map(({ grant, source }, index) => {
    const drawn = serials.subarray(index * SERIAL_BYTES, (index + 1) * SERIAL_BYTES);
    return {
      grant,
      source,
      id: grant.spiffeId,
      dnsNames: grant.dnsNames,
      serial: drawn.some((octet) => octet !== 0) ? drawn : drawSerial(context.random),
      ...x509Validity(grant, authority.certificate, nowMs, context.lifetimes),
    };
  });
}

function recordsOf(
  orders: readonly PlannedOrder[],
  tbsHashes: readonly Result<Uint8Array>[],
  authority: X509Authority,
): readonly IssuanceRecord[] {
  const { authorityId } = authority;
  return orders.flatMap(({ grant, serial, notBeforeSeconds, notAfterSeconds }, index) => {
    const tbsHash = tbsHashes[index];
    if (!tbsHash?.ok) return [];
    const validity = { notBeforeSeconds, notAfterSeconds };
    return [{ grant, authorityId, serial, ...validity, tbsHash: tbsHash.value }];
  });
}

/** A certificate that may leave, with the order that it came from. */
interface ReleasedLeaf {
  readonly order: PlannedOrder;
  readonly der: Uint8Array;
}

function release(
  order: PlannedOrder,
  signed: Result<Uint8Array> | undefined,
  context: IssuanceContext,
): Result<ReleasedLeaf> {
  if (signed === undefined) return fail('ISSUANCE_MISMATCH', 'a request came back unanswered');
  if (!signed.ok) return signed;
  const standing = context.recheck(order.grant);
  return standing.ok ? ok({ order, der: signed.value }) : standing;
}

function answerOf({ order, der }: ReleasedLeaf, authority: X509Authority): IssuedX509 {
  return {
    spiffeId: order.id,
    chain: [der, ...authority.chain],
    serialDecimal: serialToDecimal(order.serial),
    notBeforeSeconds: order.notBeforeSeconds,
    expiresAtSeconds: order.notAfterSeconds,
  };
}
