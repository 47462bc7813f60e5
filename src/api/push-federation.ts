import { ServerMessage } from '../gen/signet/agent/v1/agent.ts';
import type { FederationView } from '../registry/federation.ts';
import type { Registry } from '../registry/registry.ts';
import { Encoded } from '../rpc/service.ts';
import type { Entry } from '../rules/entry.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { toWireBundle } from './convert/bundles.ts';

/** What one agent has to be told of other trust domains, in two halves around its entries. */
export interface FederationMessages {
  /**
   * Bundles that are new to the agent: before the entries, which are served with them from the start.
   * With the first ones, which it keeps of those that an earlier stream left: one that was deleted since
   * must not be served with what comes now.
   */
  bundles(): Iterable<Encoded>;
  /** Which bundles it keeps, where that changed: after the entries, which may have been what held one. */
  kept(): Iterable<Encoded>;
}

const namesOfList = new WeakMap<readonly Entry[], ReadonlySet<string>>();

/**
 * Follows the bundles of the trust domains that an agent's entries federate with. A stream starts from
 * nothing, whatever the agent still holds: what is told twice means the same.
 */
export function federationMessages(
  registry: Pick<Registry, 'authorizedEntries'> & {
    readonly federation: Pick<FederationView, 'bundle'>;
  },
  agentId: SpiffeId,
): FederationMessages {
  /** Undefined until the agent was told anything: then it may hold what an earlier stream told. */
  let told: ReadonlyMap<string, Bundle> | undefined;
  let keptNames: ReadonlySet<string> | undefined;
  const held = (): ReadonlyMap<string, Bundle> => {
    const bundles = new Map<string, Bundle>();
    for (const name of federatedNames(registry.authorizedEntries(agentId))) {
      const found = registry.federation.bundle(name);
      if (found !== undefined) bundles.set(name, found.bundle);
    }
    return bundles;
  };
  const keep = (names: ReadonlySet<string>): Encoded => {
    keptNames = names;
    return encode({ $case: 'federation', value: { trustDomains: [...names] } });
  };
  return {
    *bundles() {
      const now = held();
      const before = told;
      told = now;
      for (const [name, bundle] of now) {
        if (before?.get(name) === bundle) continue;
        yield encode({ $case: 'bundle', value: toWireBundle(bundle) });
      }
      // Whatever it may hold from before, it serves none of it while no entry federates.
      const federates = federatedNames(registry.authorizedEntries(agentId)).size > 0;
      if (keptNames === undefined && federates) yield keep(new Set(now.keys()));
    },
    *kept() {
      const names = new Set(told?.keys());
      if (keptNames === undefined || sameNames(keptNames, names)) return;
      yield keep(names);
    },
  };
}

/** Worked out once for a list: it is the same array until the agent's entries change. */
function federatedNames(entries: readonly Entry[]): ReadonlySet<string> {
  const known = namesOfList.get(entries);
  if (known !== undefined) return known;
  const names = new Set<string>();
  for (const { federatesWith } of entries) for (const { name } of federatesWith) names.add(name);
  namesOfList.set(entries, names);
  return names;
}

function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && a.isSubsetOf(b);
}

function encode(kind: ServerMessage['kind']): Encoded {
  return new Encoded(Buffer.from(ServerMessage.encode({ kind }).finish()));
}
