import { BackOff } from '../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import type { Random } from '../../src/base/random.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { removeFile, writeFileAtomic } from '../../src/runtime/atomic-file.ts';
import type { HealthPart } from '../../src/runtime/health.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { Conditions } from './conditions.ts';
import type { ConnectorConfig } from './config.ts';
import type { Hooks } from './hooks.ts';
import { type OutputMaterial, removeOutputs, writeOutputs } from './outputs.ts';
import { type SegmentSet, segmentsDocument } from './segments.ts';

/** Waits between tries to write. */
const RETRY = { firstMs: 500, maxMs: 30_000 };

/** What publishing needs. */
export interface PublisherParts {
  readonly config: Pick<ConnectorConfig, 'outputs' | 'segments' | 'group'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly hooks: Hooks;
  readonly conditions: Conditions;
  /** Ready from the first files that were written. */
  readonly ready: HealthPart;
  readonly onFailure: (what: 'certificates' | 'segments') => void;
}

/** One kind of output: what is wanted last is written, however often it takes. */
interface Track {
  cancel: Cancel;
  round: number;
  last: Promise<unknown>;
}

function track(): Track {
  return { cancel: () => {}, round: 0, last: Promise.resolve() };
}

/**
 * Writes what the connector reads, runs the hook after a change, and tries again where the disk is full or
 * the folder is not ours: files that are there stay as they are until all of the new ones can be written.
 */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #certificates = track();
  readonly #segments = track();
  #closed = false;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /** Wants certificate files of this material. Answers after the first try. */
  certificates(material: OutputMaterial): Promise<void> {
    const { config, random, hooks, ready } = this.#parts;
    const work = async (): Promise<Result<void>> => {
      const written = await writeOutputs(config.outputs, material, random);
      if (!written.ok) return written;
      ready.ready();
      const { id, serial, notAfterMs } = material.svid;
      const facts = {
        SIGNET_SPIFFE_ID: id.uri,
        SIGNET_SERIAL_NUMBER: serial,
        SIGNET_EXPIRES_AT: String(Math.floor(notAfterMs / 1000)),
        SIGNET_DIRECTORY: config.outputs.directory ?? '',
      };
      if (written.value) void hooks.ask('reload', facts);
      return ok(undefined);
    };
    return this.#begin('certificates', this.#certificates, work);
  }

  /** Wants the segments file. Answers after the first try. */
  segments(set: SegmentSet): Promise<void> {
    const { config, hooks } = this.#parts;
    const work = async (): Promise<Result<void>> => {
      const { path } = config.segments;
      const { version } = set;
      if (path !== undefined) {
        const bytes = segmentsDocument(set, config.group);
        const written = await writeFileAtomic(path, bytes, { mode: config.outputs.mode });
        if (!written.ok) return written;
      }
      void hooks.ask('segments', {
        SIGNET_SEGMENTS_VERSION: version,
        SIGNET_SEGMENTS_PATH: path ?? '',
      });
      return ok(undefined);
    };
    return this.#begin('segments', this.#segments, work);
  }

  /** Removes the key files, then the segments file; nothing is written any more. */
  async remove(): Promise<Result<void>> {
    this.close();
    await Promise.all([this.#certificates.last, this.#segments.last]);
    const { outputs, segments } = this.#parts.config;
    const removed = await removeOutputs(outputs);
    const gone = segments.path === undefined ? ok(undefined) : await removeFile(segments.path);
    return removed.ok ? gone : removed;
  }

  /** Ends further tries. */
  close(): void {
    this.#closed = true;
    for (const one of [this.#certificates, this.#segments]) {
      one.cancel();
      one.round += 1;
    }
  }

  #begin(
    what: 'certificates' | 'segments',
    of: Track,
    work: () => Promise<Result<void>>,
  ): Promise<void> {
    if (this.#closed) return Promise.resolve();
    of.cancel();
    of.round += 1;
    return this.#try(what, of, of.round, work, new BackOff(RETRY, this.#parts.random));
  }

  async #try(
    what: 'certificates' | 'segments',
    of: Track,
    round: number,
    work: () => Promise<Result<void>>,
    backOff: BackOff,
  ): Promise<void> {
    // One write at a time: an older one that is under way ends first.
    const outcome = of.last.then(() => (of.round === round ? work() : undefined));
    of.last = outcome;
    const done = await outcome;
    if (done === undefined || of.round !== round) return;
    const { conditions, clock, log, onFailure } = this.#parts;
    conditions.set(what, done.ok ? undefined : done.error.message);
    if (done.ok) return;
    onFailure(what);
    const { code, message, action } = done.error;
    log.error({ what, code, reason: message, action }, 'not written');
    of.cancel = clock.after(backOff.next(), () => void this.#try(what, of, round, work, backOff));
  }
}
