import { fail, ok, type Result } from '../base/result.ts';
import type { Entry, EntryMask } from '../gen/spire/api/types/entry.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { emptyEntry } from './entry-view.ts';
import { flagError, selectorFlags, spiffeIdFlag, timeFlag, wholeSecondsFlag } from './flags.ts';
import type { FlagSpec, Input } from './spec.ts';
import { toWireId, toWireSelectors } from './wire.ts';

/** Flags that describe an entry, of `entry create` and `entry update`. */
export const ENTRY_FLAGS: readonly FlagSpec[] = [
  { name: 'spiffe-id', spire: 'spiffeID', value: 'id', help: 'identity that is given out' },
  {
    name: 'parent-id',
    spire: 'parentID',
    value: 'id',
    help: 'agent, or node alias, that gives it out',
  },
  {
    name: 'selector',
    value: 'type:value',
    repeat: true,
    help: 'fact that the process must show; all of them must hold',
  },
  { name: 'entry-id', spire: 'entryID', value: 'id', help: 'ID of the entry' },
  {
    name: 'x509-svid-ttl',
    spire: 'x509SVIDTTL',
    value: 'duration',
    help: 'life of its X.509-SVIDs; the server decides when absent',
  },
  {
    name: 'jwt-svid-ttl',
    spire: 'jwtSVIDTTL',
    value: 'duration',
    help: 'life of its JWT-SVIDs; the server decides when absent',
  },
  { name: 'dns', value: 'name', repeat: true, help: 'DNS name in its X.509-SVIDs' },
  {
    name: 'federates-with',
    spire: 'federatesWith',
    value: 'trust domain',
    repeat: true,
    help: 'trust domain whose bundle the process gets too',
  },
  {
    name: 'entry-expiry',
    spire: 'entryExpiry',
    value: 'time',
    help: 'when the entry ends: Unix seconds or 2030-01-31T12:00:00Z',
  },
  { name: 'hint', value: 'text', help: 'tells the process which identity is for what' },
  { name: 'admin', help: 'the identity may administer the server' },
  { name: 'downstream', help: 'the identity is that of a downstream server' },
  { name: 'store-svid', spire: 'storeSVID', help: 'the SVID is for a secret store' },
  {
    name: 'disable-x509-svid-prefetch',
    spire: 'disableX509SVIDPrefetch',
    help: 'agents make its X.509-SVID only when a process asks',
  },
  { name: 'jwt-svid-include-jti', help: 'its JWT-SVIDs carry a jti claim' },
  {
    name: 'node',
    help: "the entry is a node alias: its parent is the server, its selectors are the node's",
  },
  {
    name: 'data',
    value: 'file',
    help: 'JSON with {"entries": [...]}; "-" is standard input',
  },
];

/** An entry from flags, and which fields the flags named. */
export interface EntryFromFlags {
  readonly entry: Entry;
  readonly mask: EntryMask;
}

/** Builds the entry that the flags describe. Fails with CLI_USAGE. */
export function entryFromFlags(input: Input): Result<EntryFromFlags> {
  const ids = idsFromFlags(input);
  if (!ids.ok) return ids;
  const values = valuesFromFlags(input);
  if (!values.ok) return values;
  const prefetchOff = input.has('disable-x509-svid-prefetch');
  const includeJti = input.has('jwt-svid-include-jti');
  const entry: Entry = {
    ...emptyEntry(),
    ...ids.value,
    ...values.value,
    id: input.text('entry-id') ?? '',
    dnsNames: [...input.texts('dns')],
    hint: input.text('hint') ?? '',
    admin: input.has('admin'),
    downstream: input.has('downstream'),
    storeSvid: input.has('store-svid'),
    additionalAttributes:
      prefetchOff || includeJti
        ? { disableX509SvidPrefetch: prefetchOff, jwtSvidIncludeJti: includeJti }
        : undefined,
  };
  return ok({ entry, mask: maskOf(input, entry) });
}

function idsFromFlags(input: Input): Result<Pick<Entry, 'spiffeId' | 'parentId'>> {
  const spiffeId = spiffeIdFlag(input, 'spiffe-id');
  if (!spiffeId.ok) return spiffeId;
  const parentId = spiffeIdFlag(input, 'parent-id');
  if (!parentId.ok) return parentId;
  const id = spiffeId.value === undefined ? undefined : toWireId(spiffeId.value);
  if (!input.has('node')) {
    const parent = parentId.value === undefined ? undefined : toWireId(parentId.value);
    return ok({ spiffeId: id, parentId: parent });
  }
  if (parentId.value !== undefined) return flagError('node', 'and --parent-id exclude each other');
  if (id === undefined) return flagError('node', 'needs --spiffe-id');
  return ok({ spiffeId: id, parentId: { trustDomain: id.trustDomain, path: '/spire/server' } });
}

type Values = Pick<
  Entry,
  'selectors' | 'x509SvidTtl' | 'jwtSvidTtl' | 'expiresAt' | 'federatesWith'
>;

function valuesFromFlags(input: Input): Result<Values> {
  const selectors = selectorFlags(input, 'selector');
  if (!selectors.ok) return selectors;
  const x509Ttl = wholeSecondsFlag(input, 'x509-svid-ttl');
  if (!x509Ttl.ok) return x509Ttl;
  const jwtTtl = wholeSecondsFlag(input, 'jwt-svid-ttl');
  if (!jwtTtl.ok) return jwtTtl;
  const expiry = timeFlag(input, 'entry-expiry');
  if (!expiry.ok) return expiry;
  const federatesWith: string[] = [];
  for (const text of input.texts('federates-with')) {
    const trustDomain = parseTrustDomain(text);
    if (!trustDomain.ok) return flagError('federates-with', trustDomain.error.message);
    federatesWith.push(trustDomain.value.name);
  }
  return ok({
    selectors: toWireSelectors(selectors.value),
    x509SvidTtl: x509Ttl.value ?? 0,
    jwtSvidTtl: jwtTtl.value ?? 0,
    expiresAt: expiry.value ?? 0n,
    federatesWith,
  });
}

function maskOf(input: Input, entry: Entry): EntryMask {
  return {
    spiffeId: entry.spiffeId !== undefined,
    parentId: entry.parentId !== undefined,
    selectors: entry.selectors.length > 0,
    x509SvidTtl: input.text('x509-svid-ttl') !== undefined,
    federatesWith: entry.federatesWith.length > 0,
    admin: entry.admin,
    downstream: entry.downstream,
    expiresAt: input.text('entry-expiry') !== undefined,
    dnsNames: entry.dnsNames.length > 0,
    revisionNumber: false,
    storeSvid: entry.storeSvid,
    jwtSvidTtl: input.text('jwt-svid-ttl') !== undefined,
    hint: input.text('hint') !== undefined,
    createdAt: false,
    additionalAttributes: entry.additionalAttributes !== undefined,
  };
}

/** What an entry needs at least: an identity, a parent and a selector. */
export function checkComplete({ entry }: EntryFromFlags): Result<void> {
  const missing = [
    ...(entry.spiffeId === undefined ? ['--spiffe-id'] : []),
    ...(entry.parentId === undefined ? ['--parent-id (or --node)'] : []),
    ...(entry.selectors.length === 0 ? ['--selector'] : []),
  ];
  return missing.length === 0 ? ok(undefined) : fail('CLI_USAGE', `needs ${missing.join(', ')}`);
}
