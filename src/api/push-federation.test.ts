import assert from 'node:assert/strict';
import { test } from 'node:test';
import { draft, id } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { ServerMessage } from '../gen/signet/agent/v1/agent.ts';
import { Federations } from '../registry/federation.ts';
import type { Encoded } from '../rpc/service.ts';
import type { Entry } from '../rules/entry.ts';
import { emptyBundle } from '../spiffe/bundle.ts';
import { parseTrustDomain, type TrustDomain } from '../spiffe/trust-domain.ts';
import { federationMessages } from './push-federation.ts';

const AGENT = id('/spire/agent/a');
const domain = (name: string): TrustDomain => unwrap(parseTrustDomain(name));

/** What an agent is told of other trust domains while its entries federate with these. */
class Rig {
  readonly view = new Federations();
  #entries: readonly Entry[] = [];
  readonly messages = federationMessages(
    { authorizedEntries: () => this.#entries, federation: this.view },
    AGENT,
  );

  federate(...names: string[]): void {
    const stated = draft('/web', AGENT.path, { federatesWith: names.map(domain) });
    this.#entries = [{ ...stated, id: 'one', revision: 0n, createdAtSeconds: 0 }];
  }

  hold(name: string): void {
    const bundle = emptyBundle(domain(name));
    this.view.putBundle(name, { bundle, origin: '', revision: 1n });
  }

  /** Names of bundles, and lists of names to keep: before the entries, and after them. */
  take(): readonly (readonly (string | readonly string[])[])[] {
    return [this.messages.bundles(), this.messages.kept()].map((half) => [...half].map(namesOf));
  }
}

function namesOf({ bytes }: Encoded): string | readonly string[] {
  const { kind } = ServerMessage.decode(bytes);
  if (kind?.$case === 'bundle') return kind.value.trustDomain;
  assert.equal(kind?.$case, 'federation');
  return kind.value.trustDomains;
}

test('a stream says what is kept before the entries that could be served with what an earlier one left', () => {
  const rig = new Rig();
  assert.deepEqual(rig.take(), [[], []], 'nothing to an agent that federates with nobody');
  // As a rule of Kubernetes does, before the bundle is there: the agent may hold one that was deleted.
  rig.federate('gone.test');
  assert.deepEqual(rig.take(), [[[]], []]);
  rig.hold('gone.test');
  assert.deepEqual(rig.take(), [['gone.test'], [['gone.test']]]);
  assert.deepEqual(rig.take(), [[], []]);
});

test('later a bundle goes after the entries that federated with it', () => {
  const rig = new Rig();
  rig.hold('a.test');
  rig.hold('b.test');
  rig.federate('a.test', 'b.test');
  assert.deepEqual(rig.take(), [['a.test', 'b.test', ['a.test', 'b.test']], []]);
  rig.federate('b.test');
  assert.deepEqual(rig.take(), [[], [['b.test']]]);
  rig.view.putBundle('b.test', undefined);
  assert.deepEqual(rig.take(), [[], [[]]]);
});
