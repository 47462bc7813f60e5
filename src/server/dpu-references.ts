import { equalBytes } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type DeviceRevocation, readDeviceCrl } from '../dice/device-revocation.ts';
import { readCorim } from '../dpu/manifest/corim.ts';
import { openManifest } from '../dpu/manifest/open-manifest.ts';
import type { ReferenceManifest } from '../dpu/manifest/reference-manifest.ts';
import { parseSignerKey } from '../dpu/manifest/signer-key.ts';
import { succeed } from '../dpu/watch/succession.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Store } from '../store/store.ts';
import type { Crl } from '../x509/crl.ts';
import type { DpuAttestorSettings } from './dpu-attestor-settings.ts';
import { appearanceOf, readAll } from './reference-files.ts';

/** What is read from files, and what it stands on. */
export interface DpuReferencesBase {
  readonly settings: Pick<DpuAttestorSettings, 'manifests' | 'crls' | 'recheck'>;
  /** Where the newest revision of each manifest is remembered. */
  readonly marks: Pick<Store, 'raiseManifestMarks'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What is judged by from now on, compared with what was before. */
export interface ReferenceChange {
  /** Components whose manifest has another content, is there for the first time, or not any more. */
  readonly targets: ReadonlySet<string>;
  readonly crls: boolean;
}

interface References {
  readonly manifests: ReadonlyMap<string, ReferenceManifest>;
  readonly crls: readonly Crl[];
}

/**
 * What DPUs are judged by, from files: reference manifests, CoRIMs, the keys of their publishers, CRLs. Read
 * at the start and again when a file is another one, or at SIGHUP; a set that does not verify as a whole
 * changes nothing. States: open → closed.
 */
export class DpuReferences {
  readonly #base: DpuReferencesBase;
  readonly #paths: readonly string[];
  readonly #listeners = new Set<(change: ReferenceChange) => void>();
  readonly #failures: { inc(): void };
  #current: References;
  #confirmedMs: number;
  /** What the files looked like when they were read last, whatever came of it. */
  #seen: string;
  #cancel: () => void = () => {};
  #refused = false;
  #reading: Promise<Result<void>> | undefined;
  #closed = false;

  private constructor(base: DpuReferencesBase, read: References, seen: string) {
    this.#base = base;
    this.#paths = pathsOf(base.settings);
    this.#current = read;
    this.#seen = seen;
    this.#confirmedMs = base.clock.monotonicMs();
    this.#failures = base.metrics.counter(
      'dpu_reference_failures_total',
      'Times that manifests or CRLs were read again and the new ones refused.',
    );
    base.metrics.reading(
      'dpu_reference_age_seconds',
      'Since manifests and CRLs were last found to verify as they are on disk.',
      () => (base.clock.monotonicMs() - this.#confirmedMs) / 1000,
    );
    this.#watch();
  }

  /** Reads everything. Fails with FILE_UNREADABLE, PEM_*, MANIFEST_*, CORIM_*, or what a CRL is refused with. */
  static async open(base: DpuReferencesBase): Promise<Result<DpuReferences>> {
    const seen = await appearanceOf(pathsOf(base.settings));
    const read = await readReferences(base);
    if (!read.ok) return read;
    warnOfExpired(base, read.value);
    return ok(new DpuReferences(base, read.value, seen));
  }

  /** The manifest that a component is judged by. */
  readonly manifestFor = (target: string): ReferenceManifest | undefined =>
    this.#current.manifests.get(target);

  /** CRLs as device chains are judged by them. */
  get revocation(): DeviceRevocation {
    const maxStaleMs = this.#base.settings.crls.maxStale * 1000;
    return { crls: this.#current.crls, maxStaleMs };
  }

  /** Calls `listener` when something else is judged by. Returns what ends it. */
  onChange(listener: (change: ReferenceChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads everything again. Where it is refused, as {@link open} does, the old stays in force. */
  reload(): Promise<Result<void>> {
    this.#reading ??= this.#reload().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  async #reload(): Promise<Result<void>> {
    const { log } = this.#base;
    this.#seen = await appearanceOf(this.#paths);
    const read = await readReferences(this.#base, this.#current.crls);
    this.#refused = !read.ok;
    if (!read.ok) {
      this.#failures.inc();
      const { code, message: reason, action } = read.error;
      log.error({ code, reason, action }, 'manifests and CRLs not read anew: the old ones stay');
      return read;
    }
    const change = differences(this.#current, read.value);
    this.#current = read.value;
    warnOfExpired(this.#base, read.value);
    this.#confirm();
    if (this.#closed || (change.targets.size === 0 && !change.crls)) return ok(undefined);
    const manifests = new Set([...read.value.manifests.values()].map(revisionOf));
    log.info({ manifests: [...manifests], crls: change.crls }, 'DPUs are judged by other files');
    for (const listener of this.#listeners) listener(change);
    return ok(undefined);
  }

  /** Looks at the files' facts now and then, and reads them only where those are others. */
  #watch(): void {
    const { settings, clock } = this.#base;
    if (settings.recheck === 0 || this.#closed) return;
    this.#cancel = clock.after(settings.recheck * 1000, () => {
      void this.#look().finally(() => this.#watch());
    });
  }

  async #look(): Promise<void> {
    if ((await appearanceOf(this.#paths)) !== this.#seen) await this.reload();
    else if (!this.#refused) this.#confirm();
  }

  #confirm(): void {
    this.#confirmedMs = this.#base.clock.monotonicMs();
  }
}

function pathsOf({ manifests, crls }: DpuReferencesBase['settings']): readonly string[] {
  const { paths, signerPaths, corimPaths, corimSignerPaths } = manifests;
  return [paths, signerPaths, corimPaths, corimSignerPaths, crls.paths].flat();
}

function differences(before: References, after: References): ReferenceChange {
  const all = new Set([...before.manifests.keys(), ...after.manifests.keys()]);
  const targets = [...all].filter(
    (target) => before.manifests.get(target)?.sha256 !== after.manifests.get(target)?.sha256,
  );
  const known = before.crls.map(({ der }) => der);
  const crls =
    after.crls.length !== known.length ||
    after.crls.some(({ der }) => !known.some((each) => equalBytes(each, der)));
  return { targets: new Set(targets), crls };
}

/** They are in force all the same, so that no older revision takes their place. */
function warnOfExpired({ clock, log }: DpuReferencesBase, { manifests }: References): void {
  for (const manifest of new Set(manifests.values())) {
    const { expiresAtMs } = manifest;
    if (expiresAtMs === undefined || clock.nowMs() < expiresAtMs) continue;
    const expired = { code: 'MANIFEST_EXPIRED', manifest: revisionOf(manifest) };
    log.warn(expired, 'a manifest has expired: no device is admitted by it');
  }
}

function revisionOf({ id, sequence }: ReferenceManifest): string {
  return `${id} ${sequence}`;
}

/** @param before CRLs that are in force: what is read must not say less. */
async function readReferences(
  { settings, marks, clock }: DpuReferencesBase,
  before: readonly Crl[] = [],
): Promise<Result<References>> {
  const manifests = await readManifests(settings.manifests, clock.nowMs());
  if (!manifests.ok) return manifests;
  const crls = await readAll(settings.crls.paths, readDeviceCrl);
  if (!crls.ok) return crls;
  const older = before.find((crl) => !crls.value.some((each) => isSuccessor(each, crl)));
  if (older !== undefined) {
    return fail(
      'DEVICE_CRL_OLDER',
      `CRL ${older.number}: none of its CA is as new in the files now`,
    );
  }
  // Last: what is refused for another reason must not keep out what is in force.
  const newest = await succeed(marks, [...new Set(manifests.value.values())]);
  return newest.ok ? ok({ manifests: manifests.value, crls: crls.value }) : newest;
}

/** Whether a CRL takes the place of another: of the same CA and key, and not older (RFC 5280 §5.2.3). */
function isSuccessor(next: Crl, { issuerDer, authorityKeyId, number }: Crl): boolean {
  const sameCa =
    equalBytes(next.issuerDer, issuerDer) && equalBytes(next.authorityKeyId, authorityKeyId);
  return sameCa && next.number >= number;
}

/** Manifests by target. Two that speak of one target would leave open which of them counts. */
async function readManifests(
  settings: DpuAttestorSettings['manifests'],
  atMs: number,
): Promise<Result<ReadonlyMap<string, ReferenceManifest>>> {
  const keys = await readAll(settings.signerPaths, parseSignerKey);
  if (!keys.ok) return keys;
  const signers = { keys: keys.value, threshold: settings.threshold };
  const corimKeys = await readAll(settings.corimSignerPaths, parseSignerKey);
  if (!corimKeys.ok) return corimKeys;
  const read = await readAll(settings.corimPaths, (bytes) =>
    readCorim(bytes, { keys: corimKeys.value, atMs }),
  );
  if (!read.ok) return read;
  const corims = new Map(read.value.map((corim) => [corim.sha256, corim]));
  const manifests = await readAll(settings.paths, (bytes) => openManifest(bytes, signers, corims));
  if (!manifests.ok) return manifests;
  const byTarget = new Map<string, ReferenceManifest>();
  const ids = new Set<string>();
  for (const manifest of manifests.value) {
    for (const target of manifest.targets.keys()) {
      if (byTarget.has(target)) {
        return fail('MANIFEST_TARGET', `two manifests speak of ${target}`);
      }
      byTarget.set(target, manifest);
    }
    if (ids.has(manifest.id)) {
      return fail('MANIFEST_OLDER', `two files are revisions of manifest ${manifest.id}`);
    }
    ids.add(manifest.id);
  }
  return ok(byTarget);
}
