import type { SignetError } from '../src/base/errors.ts';
import { fail, ok, type Result } from '../src/base/result.ts';
import { openDataDir } from '../src/runtime/data-dir.ts';
import type { AgentBase } from './agent.ts';
import { chooseAttestor } from './attestation/choose.ts';
import { type OwnSvid, restoreSvid } from './attestation/own-svid.ts';
import { createDialler, type ServerClients } from './attestation/server-clients.ts';
import { Standing } from './attestation/standing.ts';
import { openState, type StateFile } from './attestation/state.ts';
import { type ClockOffset, createClockOffset } from './identity/clock-offset.ts';
import { Identities } from './identity/identities.ts';
import { createJwtMinter, createX509Minter } from './identity/minting.ts';
import { Sync } from './identity/sync.ts';
import { restoreBundle, storeBundle, type TrustBundle } from './identity/trust-bundle.ts';
import type { AgentMetrics } from './metrics.ts';
import { watchTimeJumps } from './time-jump.ts';

/** The agent without its socket: standing with the server, synchronisation, identities. */
export interface AgentCore {
  readonly identities: Identities;
  readonly sync: Sync;
  readonly standing: Standing;
  readonly offset: ClockOffset;
  /** Attests, or goes on with what is stored. Answers at once. */
  start(): Result<void>;
}

/** What the core tells the agent. */
export interface CoreEvents {
  readonly metrics: AgentMetrics;
  /** The standing is over: the process has to end. */
  readonly onEnd: (error: SignetError) => void;
}

/** Takes the data directory and puts the parts together; nothing is asked of the server yet. */
export async function createCore(base: AgentBase, events: CoreEvents): Promise<Result<AgentCore>> {
  const { config, life } = base;
  const directory = await openDataDir(config.dataDir);
  if (!directory.ok) return directory;
  life.add('data directory', () => directory.value.release());
  const state = await openState(directory.value.path, config.trustDomain);
  if (!state.ok) return state;
  // Before another process may have the directory: an SVID that is not saved costs a join token.
  life.add('state', () => state.value.settled());
  return ok(assemble(base, state.value, events));
}

function assemble(base: AgentBase, state: StateFile, events: CoreEvents): AgentCore {
  const { life, clock } = base;
  const offset = createClockOffset();
  let clients: ServerClients | undefined;
  const identities = createIdentities(base, events.metrics, {
    current: () => clients?.svid,
    save: (bundle) => saveBundle(base, state, bundle),
    taint: (keyIds) => standing.taint(keyIds),
  });
  const sync: Sync = new Sync({
    ...base,
    identities,
    trustDomain: base.config.trustDomain,
    offset,
    onDenied: (denial, message) => standing.denied(denial, message),
    onReattest: (reason) => standing.reattest(reason),
    onRedial: () => standing.redial(),
  });
  const standing: Standing = new Standing({
    ...base,
    trustDomain: base.config.trustDomain,
    bootstrap: base.config.bootstrap,
    attestor: chooseAttestor(base),
    state,
    dial: createDialler({
      host: base.config.server.address,
      port: base.config.server.port,
      trustDomain: base.config.trustDomain,
      clock,
      onRefused: ({ code, message }) => {
        base.log.warn({ code, reason: `${message}${offset.explain()}` }, 'server not accepted');
        void standing.unverified();
      },
    }),
    bundle: () => identities.ownBundle,
    onBundle: (bundle) => identities.installBundle(bundle),
    onClients: (next, svid) => {
      clients = next;
      sync.use(next, svid.id);
    },
    onEnd: events.onEnd,
  });
  life.add('identities', () => identities.close());
  life.add('synchronisation', () => sync.stop());
  life.add('standing', () => standing.stop());
  return {
    identities,
    sync,
    standing,
    offset,
    start: () => {
      const restored = restore(base, state, identities);
      if (!restored.ok) return restored;
      standing.start(restored.value);
      life.add('time watch', watchJumps(base, { identities, standing }));
      return ok(undefined);
    },
  };
}

interface IdentitySources {
  readonly current: Parameters<typeof createX509Minter>[0];
  readonly save: (bundle: TrustBundle) => void;
  readonly taint: (keyIds: ReadonlySet<string>) => void;
}

function createIdentities(
  base: AgentBase,
  metrics: AgentMetrics,
  { current, save, taint }: IdentitySources,
): Identities {
  const { clock, random, log, config } = base;
  return new Identities({
    trustDomain: config.trustDomain,
    x509: {
      clock,
      random,
      keyType: config.svid.keyType,
      mint: createX509Minter(current),
      onMinted: (entry, { serial }, missedMs) => {
        if (missedMs !== undefined) metrics.mintedFirst(missedMs);
        log.debug({ entryId: entry.id, spiffeId: entry.spiffeId.uri, serial, missedMs }, 'minted');
      },
      onFailure: (entry, error) => {
        metrics.mintFailed(error);
        log.warn(
          {
            entryId: entry.id,
            spiffeId: entry.spiffeId.uri,
            code: error.code,
            reason: error.message,
          },
          'SVID not minted',
        );
      },
    },
    jwt: {
      clock,
      random,
      mint: createJwtMinter(current),
      maxTokens: config.limits.jwtSvids,
      maxRequests: config.limits.jwtRequests,
    },
    onEntries: (upserted, removed) => log.debug({ upserted, removed }, 'entries changed'),
    onBadAnswer: ({ code, message }) => log.error({ code, reason: message }, 'left out'),
    onOwnBundle: save,
    onTaint: taint,
  });
}

function saveBundle({ log }: AgentBase, state: StateFile, { bundle }: TrustBundle): void {
  const text = Buffer.from(storeBundle(bundle)).toString('base64');
  if (state.current.bundle === text) return;
  void state.save({ bundle: text }).then((saved) => {
    if (saved.ok) return;
    const { code, message } = saved.error;
    log.error(
      { code, reason: message },
      'the bundle is not saved: a restart would have an older one',
    );
  });
}

/** Bundle and SVID of the last run; the SVID is undefined where there is none. */
function restore(
  { config }: AgentBase,
  state: StateFile,
  identities: Identities,
): Result<OwnSvid | undefined> {
  if (state.current.bundle !== undefined) {
    const bundle = restoreBundle(Buffer.from(state.current.bundle, 'base64'));
    if (!bundle.ok) return bundle;
    identities.installBundle(bundle.value);
  }
  const svid = restoreSvid(state.current, config.trustDomain);
  if (svid === undefined) return ok(undefined);
  if (svid.ok) return svid;
  return fail('AGENT_STATE_CORRUPT', `the stored SVID is of no use: ${svid.error.message}`);
}

function watchJumps(
  { clock, log }: AgentBase,
  { identities, standing }: Pick<AgentCore, 'identities' | 'standing'>,
): () => void {
  return watchTimeJumps(clock, (jumpMs) => {
    log.warn({ seconds: Math.round(jumpMs / 1000) }, 'the clock jumped');
    identities.x509.recheck();
    identities.jwt.recheck();
    standing.recheck();
  });
}
