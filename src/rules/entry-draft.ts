import { fail, ok, type Result } from '../base/result.ts';
import { isMemberOf, type SpiffeId, spiffeIdFromPath } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../spiffe/trust-domain.ts';
import { checkDnsNames } from './dns-name.ts';
import type { EntryDraft } from './entry.ts';
import { isConnectorId, isReservedId } from './reserved-ids.ts';
import { makeSelector, type Selector } from './selector.ts';

/** Most selectors of one entry. */
export const MAX_ENTRY_SELECTORS = 256;

/** Most trust domains that one entry federates with. */
export const MAX_FEDERATES_WITH = 128;

/** Longest hint in bytes (Workload API §8). */
export const MAX_HINT_BYTES = 1024;

/** Longest lifetime that the wire can state: int32 seconds. */
export const MAX_TTL_SECONDS = 2 ** 31 - 1;

/** A SPIFFE ID in its two parts, as it travels on the wire. */
export interface SpiffeIdInput {
  readonly trustDomain: string;
  /** With a leading slash. */
  readonly path: string;
}

/** An entry as somebody asks for it, nothing checked. */
export interface EntryInput {
  readonly spiffeId: SpiffeIdInput | undefined;
  readonly parentId: SpiffeIdInput | undefined;
  readonly selectors: readonly { readonly type: string; readonly value: string }[];
  readonly x509SvidTtlSeconds: number;
  readonly jwtSvidTtlSeconds: number;
  /** Bare names or `spiffe://` IDs of trust domains. */
  readonly federatesWith: readonly string[];
  readonly admin: boolean;
  readonly downstream: boolean;
  /** Unix seconds; 0 is never. */
  readonly expiresAtSeconds: bigint;
  readonly dnsNames: readonly string[];
  readonly storeSvid: boolean;
  readonly hint: string;
  readonly disableX509SvidPrefetch: boolean;
  readonly jwtSvidIncludeJti: boolean;
}

/** Checks everything that can be said about an entry by itself; what is answered may be stored. */
export function checkEntryDraft(input: EntryInput, trustDomain: TrustDomain): Result<EntryDraft> {
  const spiffeId = checkWorkloadId(input.spiffeId, trustDomain);
  if (!spiffeId.ok) return spiffeId;
  const parentId = checkParentId(input.parentId, trustDomain);
  if (!parentId.ok) return parentId;
  const selectors = checkSelectors(input.selectors);
  if (!selectors.ok) return selectors;
  const federatesWith = checkFederatesWith(input.federatesWith);
  if (!federatesWith.ok) return federatesWith;
  const dnsNames = checkDnsNames(input.dnsNames);
  if (!dnsNames.ok) return dnsNames;
  const numbers = checkNumbers(input);
  if (!numbers.ok) return numbers;
  const hint = checkHint(input.hint);
  if (!hint.ok) return hint;
  return ok({
    spiffeId: spiffeId.value,
    parentId: parentId.value,
    selectors: selectors.value,
    x509SvidTtlSeconds: input.x509SvidTtlSeconds,
    jwtSvidTtlSeconds: input.jwtSvidTtlSeconds,
    federatesWith: federatesWith.value,
    admin: input.admin,
    downstream: input.downstream,
    expiresAtSeconds: Number(input.expiresAtSeconds),
    dnsNames: dnsNames.value,
    storeSvid: input.storeSvid,
    hint: hint.value,
    disableX509SvidPrefetch: input.disableX509SvidPrefetch,
    jwtSvidIncludeJti: input.jwtSvidIncludeJti,
  });
}

/** A SPIFFE ID that a workload may have: of the own trust domain, with a path, outside `/spire`. */
function checkWorkloadId(
  input: SpiffeIdInput | undefined,
  trustDomain: TrustDomain,
): Result<SpiffeId> {
  const id = checkMember('SPIFFE ID', 'ENTRY_SPIFFE_ID', input, trustDomain);
  if (id.ok && isReservedId(id.value)) {
    return fail('ENTRY_SPIFFE_ID', `${id.value.uri} lies in the reserved area /spire`);
  }
  return id;
}

/** Keeps the area of connectors to them, where they are served. Fails with ENTRY_SPIFFE_ID. */
export function checkOutsideConnectors(draft: EntryDraft): Result<EntryDraft> {
  const { spiffeId } = draft;
  if (!isConnectorId(spiffeId)) return ok(draft);
  return fail('ENTRY_SPIFFE_ID', `${spiffeId.uri} lies in the reserved area /connector`);
}

/** Agents, the server (for aliases) and workloads may all be parents. */
function checkParentId(
  input: SpiffeIdInput | undefined,
  trustDomain: TrustDomain,
): Result<SpiffeId> {
  return checkMember('parent ID', 'ENTRY_PARENT_ID', input, trustDomain);
}

function checkMember(
  what: string,
  code: 'ENTRY_SPIFFE_ID' | 'ENTRY_PARENT_ID',
  input: SpiffeIdInput | undefined,
  trustDomain: TrustDomain,
): Result<SpiffeId> {
  if (input === undefined) return fail(code, `${what} is missing`);
  const domain = parseTrustDomain(input.trustDomain);
  if (!domain.ok) return domain;
  // Ours where it is ours: held once for all entries.
  const own = domain.value.name === trustDomain.name ? trustDomain : domain.value;
  const id = spiffeIdFromPath(own, input.path);
  if (!id.ok) return id;
  if (!isMemberOf(id.value, trustDomain)) {
    return fail(code, `${what} ${id.value.uri} is not of trust domain ${trustDomain.name}`);
  }
  if (id.value.path === '') return fail(code, `${what} has no path`);
  return id;
}

/** Checks the selectors of an entry: 1 to 256, each once. Order is kept. */
function checkSelectors(
  inputs: readonly { readonly type: string; readonly value: string }[],
): Result<readonly Selector[]> {
  if (inputs.length === 0) return fail('ENTRY_SELECTORS_EMPTY', 'at least one selector is needed');
  if (inputs.length > MAX_ENTRY_SELECTORS) {
    return fail(
      'ENTRY_SELECTORS_TOO_MANY',
      `${inputs.length} selectors; at most ${MAX_ENTRY_SELECTORS}`,
    );
  }
  const selectors: Selector[] = [];
  const texts = new Set<string>();
  for (const { type, value } of inputs) {
    const selector = makeSelector(type, value);
    if (!selector.ok) return selector;
    const { text } = selector.value;
    if (texts.has(text)) {
      return fail('ENTRY_SELECTOR_REPEATED', `selector ${JSON.stringify(text.slice(0, 80))} twice`);
    }
    texts.add(text);
    selectors.push(selector.value);
  }
  return ok(Object.freeze(selectors));
}

function checkFederatesWith(names: readonly string[]): Result<readonly TrustDomain[]> {
  if (names.length > MAX_FEDERATES_WITH) {
    return fail(
      'ENTRY_FEDERATES_WITH',
      `${names.length} federated trust domains; at most ${MAX_FEDERATES_WITH}`,
    );
  }
  const domains = new Map<string, TrustDomain>();
  for (const name of names) {
    const domain = parseTrustDomain(name);
    if (!domain.ok) return domain;
    domains.set(domain.value.name, domain.value);
  }
  return ok(Object.freeze([...domains.values()]));
}

function checkNumbers(input: EntryInput): Result<void> {
  for (const seconds of [input.x509SvidTtlSeconds, input.jwtSvidTtlSeconds]) {
    if (!Number.isInteger(seconds) || seconds < 0 || seconds > MAX_TTL_SECONDS) {
      return fail('TTL_RANGE', `lifetime of ${seconds} s is out of range`);
    }
  }
  if (input.expiresAtSeconds < 0n || input.expiresAtSeconds > Number.MAX_SAFE_INTEGER) {
    return fail('ENTRY_EXPIRY', `expiry ${input.expiresAtSeconds} is out of range`);
  }
  return ok(undefined);
}

function checkHint(hint: string): Result<string> {
  if (Buffer.byteLength(hint) > MAX_HINT_BYTES) {
    return fail('ENTRY_HINT', `hint is longer than ${MAX_HINT_BYTES} bytes`);
  }
  if (!hint.isWellFormed() || hint.includes('\0') || hint.includes('\ufffd')) {
    return fail('ENTRY_HINT', 'hint holds a NUL or is not valid UTF-8');
  }
  return ok(hint);
}
