import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { isKubeObject, textAt, textMapAt, textsAt, valueAt } from '../../../src/kube/objects.ts';
import { callHttp } from '../../../src/runtime/http-call.ts';
import { checkSocketOwner } from '../root-socket.ts';

/** What an engine says of a container. */
export interface EngineContainer {
  readonly labels: ReadonlyMap<string, string>;
  /** `NAME=value`, as the container was made with. */
  readonly env: readonly string[];
  /** The image as it was asked for, such as `web:1.2`; empty where the engine does not say. */
  readonly image: string;
  /** Digest of the very image that the container was made from, such as `sha256:…`. */
  readonly imageDigest: string;
}

/** Asks an engine for a container by its whole id; undefined where it has none of that id. */
export type AskEngine = (containerId: string) => Promise<Result<EngineContainer | undefined>>;

const CALL_LIMIT_MS = 5000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/**
 * Asks Docker, or Podman by its Docker-compatible API, over the engine's Unix socket. Fails with
 * AGENT_ENGINE.
 */
export function engineAt(socketPath: string, clock: Clock): AskEngine {
  return async (containerId) => {
    const owner = checkSocketOwner(socketPath, 'AGENT_ENGINE');
    if (!owner.ok) return owner;
    const late = new AbortController();
    const cancel = clock.after(CALL_LIMIT_MS, () => late.abort());
    try {
      // The host in the URL is for the header only.
      const answer = await callHttp(new URL(`http://engine/containers/${containerId}/json`), {
        method: 'GET',
        headers: { accept: 'application/json' },
        socketPath,
        maxAnswerBytes: MAX_ANSWER_BYTES,
        signal: late.signal,
      });
      if (answer.status === 404) return ok(undefined);
      if (answer.status === 200) return parseContainer(answer.text, containerId);
      return fail('AGENT_ENGINE', `${socketPath} answered ${answer.status}`);
    } catch (cause) {
      return fail('AGENT_ENGINE', `${socketPath} does not answer`, { cause });
    } finally {
      cancel();
    }
  };
}

/**
 * Reads the description of a container. An engine looks for names after ids, and a name may look like an
 * id: what is not of the id that was asked for is refused, as is a container that does not run.
 */
export function parseContainer(text: string, containerId: string): Result<EngineContainer> {
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch (cause) {
    return fail('AGENT_ENGINE', 'the engine answered with what is no JSON', { cause });
  }
  if (!isKubeObject(object) || textAt(object, 'Id') !== containerId) {
    return fail('AGENT_ENGINE', 'the engine answered with another container');
  }
  if (valueAt(object, 'State', 'Running') !== true) {
    return fail('AGENT_ENGINE', 'the engine says that the container does not run');
  }
  const imageDigest = textAt(object, 'Image') ?? '';
  if (valueAt(object, 'Config') === undefined || imageDigest === '') {
    return fail('AGENT_ENGINE', 'the engine does not say what the container is made from');
  }
  return ok({
    labels: textMapAt(object, 'Config', 'Labels'),
    env: textsAt(object, 'Config', 'Env'),
    image: textAt(object, 'Config', 'Image') ?? '',
    // Podman leaves out the name of the hash.
    imageDigest: /^[0-9a-f]{64}$/.test(imageDigest) ? `sha256:${imageDigest}` : imageDigest,
  });
}
