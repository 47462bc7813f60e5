import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { PeerProcess } from '../../../src/rpc/service.ts';
import type { WorkloadAttestor } from '../attestor.ts';
import { type ContainerPlace, type LocateContainer, samePlace } from '../container/locate.ts';
import type { AskEngine, EngineContainer } from './engine-api.ts';

/** What the attestor asks for: the engines that are configured. */
export interface EngineAttestorParts {
  readonly locate: LocateContainer;
  readonly docker: AskEngine | undefined;
  readonly podman: AskEngine | undefined;
}

/**
 * The `docker` attestor, for Podman too, with SPIRE's selectors: `label`, `env`, `image_id`,
 * `image_config_digest`. A process in no container of a configured engine has none. Fails with
 * AGENT_ENGINE, AGENT_CONTAINER_LAYOUT or AGENT_PROCESS_UNREADABLE.
 */
export function createEngineAttestor(parts: EngineAttestorParts): WorkloadAttestor {
  const { locate } = parts;
  const known = new WeakMap<PeerProcess, { readonly place: ContainerPlace | undefined }>();
  return {
    name: 'docker',
    async attest(process) {
      const place = locate(process.pid);
      if (!place.ok) return place;
      const selectors = place.value === undefined ? ok([]) : await ask(parts, place.value);
      if (selectors.ok) known.set(process, { place: place.value });
      return selectors;
    },
    holds(process) {
      // What an engine says of a container is fixed when the container is made.
      const before = known.get(process);
      const now = locate(process.pid);
      return before !== undefined && now.ok && samePlace(before.place, now.value);
    },
  };
}

async function ask(
  { docker, podman }: EngineAttestorParts,
  { owner, containerId }: ContainerPlace,
): Promise<Result<readonly string[]>> {
  const engine = owner === 'podman' ? podman : docker;
  if (owner === 'pod' || engine === undefined) return ok([]);
  const container = await engine(containerId);
  if (!container.ok) return container;
  if (container.value !== undefined) return ok(selectorsOf(container.value));
  // A path that does not tell whose container it is, and an engine that says it is not its own.
  if (owner === 'unknown') return ok([]);
  return fail('AGENT_ENGINE', `the engine has no container ${containerId.slice(0, 12)}`);
}

function selectorsOf({ labels, env, image, imageDigest }: EngineContainer): readonly string[] {
  return [
    ...Array.from(labels, ([key, value]) => `docker:label:${key}:${value}`),
    ...env.map((variable) => `docker:env:${variable}`),
    ...(image === '' ? [] : [`docker:image_id:${image}`]),
    `docker:image_config_digest:${imageDigest}`,
  ];
}
