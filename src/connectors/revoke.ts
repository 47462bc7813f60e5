import { ok, type Result } from '../base/result.ts';
import type { IssuedSvid, IssuedTarget } from '../issuance/find-issued.ts';
import type { Registry } from '../registry/registry.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { Revocation, RevocationReason } from '../rules/revocation.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { serialToHexForms } from '../x509/serial.ts';
import type { ConnectorParts } from './parts.ts';

/** An SVID that is to be taken back. */
export interface LiveSerial {
  /** Decimal. */
  readonly serial: string;
  /** Unix seconds. */
  readonly notAfterSeconds: number;
}

type Whose = Pick<ConnectorRecord, 'spiffeId'> & { readonly agentId: SpiffeId | undefined };

/** The SVIDs of a connector that have not ended. */
export function liveSerialsOf(
  connector: Pick<
    ConnectorRecord,
    'serial' | 'expiresAtSeconds' | 'previousSerial' | 'previousExpiresAtSeconds'
  >,
  nowSeconds: number,
): readonly LiveSerial[] {
  const { serial, expiresAtSeconds, previousSerial, previousExpiresAtSeconds } = connector;
  return [
    { serial, notAfterSeconds: expiresAtSeconds },
    { serial: previousSerial, notAfterSeconds: previousExpiresAtSeconds },
  ].filter((one) => one.serial !== '' && one.notAfterSeconds >= nowSeconds);
}

/**
 * Revokes a connector for good: its record, then its live SVIDs, so that a crash in between leaves one
 * that this server and its like refuse, and a repetition takes the SVIDs back too. Answers how it stands;
 * undefined where there is none.
 *
 * @param requestedBy Who does it, as grants name callers.
 */
export async function revokeConnector(
  parts: ConnectorParts,
  id: string,
  { reason, requestedBy }: { readonly reason: string; readonly requestedBy: string },
): Promise<Result<ConnectorRecord | undefined>> {
  const atSeconds = Math.floor(parts.clock.nowMs() / 1000);
  const changed = await parts.connectors.changeConnector(id, {
    kind: 'revoked',
    atSeconds,
    reason,
  });
  if (!changed.ok || changed.value === undefined) return changed;
  const connector = changed.value;
  const serials = await allLiveSerials(parts, connector, atSeconds);
  const revoked = await revokeSerials(parts, connector, serials, 'privilege-withdrawn');
  if (!revoked.ok) return revoked;
  const { uri: spiffeId } = connector.spiffeId;
  await parts.recordAct?.({ act: 'revoke', spiffeId, reason, requestedBy });
  return ok(connector);
}

/**
 * The SVIDs of a connector that have not ended: those on record, and what only the ledger knows, since the
 * record forgets what was renewed or answered again. Peers take them for as long as no CRL lists them.
 */
async function allLiveSerials(
  parts: ConnectorParts,
  connector: ConnectorRecord,
  nowSeconds: number,
): Promise<readonly LiveSerial[]> {
  const issued = await lookUp(parts, { spiffeId: connector.spiffeId.uri });
  const live = issued.filter(({ notAfterSeconds }) => notAfterSeconds >= nowSeconds);
  const serials = new Map<string, LiveSerial>();
  for (const one of [...liveSerialsOf(connector, nowSeconds), ...live]) {
    serials.set(one.serial, one);
  }
  return [...serials.values()];
}

/** Takes SVIDs of a connector back; those that are already stay as they are. */
export async function revokeSerials(
  parts: ConnectorParts,
  { spiffeId, agentId }: Whose,
  serials: readonly LiveSerial[],
  reason: RevocationReason,
): Promise<Result<void>> {
  const fresh = serials.filter(({ serial }) => parts.registry.revocation(serial) === undefined);
  if (fresh.length === 0) return ok(undefined);
  const revokedAtSeconds = Math.floor(parts.clock.nowMs() / 1000);
  const known = await findSigners(parts, fresh);
  const revocations = await Promise.all(
    fresh.map(async ({ serial, notAfterSeconds }): Promise<Revocation> => {
      const authorityId = known.get(serial)?.authorityId ?? '';
      const issuerDer = authorityId === '' ? undefined : await parts.findIssuerName?.(authorityId);
      const times = { notAfterSeconds, revokedAtSeconds };
      return { serial, spiffeId, agentId, authorityId, issuerDer, ...times, reason };
    }),
  );
  const written = await parts.registry.revoke(revocations);
  if (!written.ok) return written;
  const count = unlisted(parts.registry, serials);
  // Not refused: that servers take them no more must not wait for a ledger.
  if (count > 0) parts.log.warn({ spiffeId: spiffeId.uri, count }, 'revoked, and in no CRL');
  return ok(undefined);
}

/** How many of these are revoked without anybody knowing who signed them: no CRL can list those. */
export function unlisted(
  registry: Pick<Registry, 'revocation'>,
  serials: readonly Pick<LiveSerial, 'serial'>[],
): number {
  const isUnlisted = ({ serial }: Pick<LiveSerial, 'serial'>): boolean => {
    const revocation = registry.revocation(serial);
    return revocation !== undefined && revocation.issuerDer === undefined;
  };
  return serials.filter(isUnlisted).length;
}

/**
 * Which authority signed them, for the CRL to name: the ledger knows. Without one, or where another server
 * signed, every server refuses them all the same, and no CRL lists them.
 */
async function findSigners(
  parts: ConnectorParts,
  serials: readonly LiveSerial[],
): Promise<ReadonlyMap<string, IssuedSvid>> {
  const hex = serials.flatMap(({ serial }) => serialToHexForms(serial));
  const svids = await lookUp(parts, { serials: hex });
  return new Map(svids.map((svid) => [svid.serial, svid]));
}

/** What the ledger knows was issued, of what can still be good; nothing where it cannot be asked. */
async function lookUp(
  { findIssued, registry, log }: ConnectorParts,
  target: IssuedTarget,
): Promise<readonly IssuedSvid[]> {
  const begins = registry.bundle?.x509Authorities.map(({ certificate }) => certificate.notBeforeMs);
  const found = await findIssued?.(target, Math.min(...(begins ?? [0])));
  if (found === undefined) return [];
  if (found.ok) return found.value;
  const { code, message: reason } = found.error;
  log.warn({ code, reason }, 'the SVIDs of a revoked connector could not be looked up');
  return [];
}
