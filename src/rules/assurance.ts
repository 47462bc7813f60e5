/**
 * How firmly an attestation ties the agent to its node, weakest first. `bearer`: whoever had the secret.
 * `key`: whoever holds a provisioned key. `vouched`: whoever first asked the attested DPU of the host, in
 * this boot of it. `tpm`: a key that is in a TPM whose maker or whose key is
 * known. `plugin-key`, `in-band`, `out-of-band`, `dual`: hardware evidence of a DPU, by how it reached
 * the server.
 */
export const ASSURANCE_BINDINGS = [
  'bearer',
  'key',
  'vouched',
  'tpm',
  'plugin-key',
  'in-band',
  'out-of-band',
  'dual',
] as const;

/** One of {@link ASSURANCE_BINDINGS}. */
export type AssuranceBinding = (typeof ASSURANCE_BINDINGS)[number];

/** Whether a binding is as firm as another one; what is not known is not. */
export function isAtLeast(binding: AssuranceBinding | undefined, least: AssuranceBinding): boolean {
  if (binding === undefined) return false;
  return ASSURANCE_BINDINGS.indexOf(binding) >= ASSURANCE_BINDINGS.indexOf(least);
}

/** What an attestation established beside who the agent is; policy and operators read it. */
export interface Assurance {
  /** Name of the node attestor. */
  readonly method: string;
  readonly binding: AssuranceBinding;
  /** Security zone of the node, from the server's inventory; undefined where none is known. */
  readonly zone: number | undefined;
  /** Firmware release that the evidence matched; undefined where none was compared. */
  readonly release: string | undefined;
  /** Unix seconds of the attestation. */
  readonly atSeconds: number;
  /** Where the clock of the node's TPM stood; only where the method looks at one. */
  readonly tpmClock?: TpmClockMark | undefined;
}

/** Where the clock and the counters of a TPM stood. None of them goes back in a TPM that goes on. */
export interface TpmClockMark {
  /** Boots. */
  readonly resetCount: number;
  /** Restarts and resumes since the boot. */
  readonly restartCount: number;
  /** Milliseconds of operation. */
  readonly clockMs: number;
}

/** The form that an assurance record is stored in: JSON. */
export function encodeAssurance(assurance: Assurance): string {
  const { method, binding, zone, release, atSeconds, tpmClock } = assurance;
  return JSON.stringify({ method, binding, zone, release, atSeconds, tpmClock });
}

/**
 * Reads a stored record; undefined where it is none. Only for text that this program wrote and whose
 * checksum holds.
 */
export function decodeAssurance(text: string): Assurance | undefined {
  // Written by encodeAssurance, so its names are ours; a value that a later version wrote is judged here.
  const stored = JSON.parse(text) as Partial<Record<keyof Assurance, unknown>>;
  const { method, zone, release, atSeconds } = stored;
  const binding = ASSURANCE_BINDINGS.find((known) => known === stored.binding);
  if (typeof method !== 'string' || typeof atSeconds !== 'number') return undefined;
  if (binding === undefined) return undefined;
  return {
    method,
    binding,
    zone: typeof zone === 'number' ? zone : undefined,
    release: typeof release === 'string' ? release : undefined,
    atSeconds,
    ...tpmClockOf(stored.tpmClock),
  };
}

/** Absent in records of other methods, and of versions that did not look at it. */
function tpmClockOf(stored: unknown): Pick<Assurance, 'tpmClock'> {
  if (typeof stored !== 'object' || stored === null) return {};
  // Written by encodeAssurance too.
  const { resetCount, restartCount, clockMs } = stored as Record<keyof TpmClockMark, unknown>;
  const known =
    typeof resetCount === 'number' &&
    typeof restartCount === 'number' &&
    typeof clockMs === 'number';
  return known ? { tpmClock: { resetCount, restartCount, clockMs } } : {};
}
