import { createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrustBundle, X509Svid } from './wire.ts';

/** What survives a restart. Whoever has it is the connector: mode 0600. */
export interface Identity {
  /** PKCS #8, PEM: of the SVID. */
  readonly key: string;
  readonly svid: X509Svid;
  readonly connectorId: string;
  readonly spiffeId: string;
  readonly bundles: readonly TrustBundle[];
  /** host:port of servers that take the session; none is the one that enrolled. */
  readonly endpoints: readonly string[];
  /** For the next proof by bound key. */
  readonly recoveryCount: number;
}

const FILE = 'connector.json';
const ENROLMENT_KEY = 'enrolment-key.pem';

/** What a folder keeps; undefined before the first enrolment. */
export function loadIdentity(folder: string): Identity | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, FILE), 'utf8');
  } catch {
    return undefined;
  }
  // The file is our own; bytes stand in it as base64.
  return JSON.parse(text, (_key, value) =>
    typeof value === 'object' && value !== null && typeof value.base64 === 'string'
      ? Buffer.from(value.base64, 'base64')
      : value,
  ) as Identity;
}

/** Written beside and renamed, so that a crash leaves the old one or the new one. */
export function saveIdentity(folder: string, identity: Identity): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const text = JSON.stringify(identity, (_key, value) =>
    // What Buffer.toJSON has made of it.
    value?.type === 'Buffer' ? { base64: Buffer.from(value.data).toString('base64') } : value,
  );
  const beside = join(folder, `${FILE}.new`);
  writeFileSync(beside, text, { mode: 0o600, flush: true });
  renameSync(beside, join(folder, FILE));
}

/**
 * The key that enrols, kept for good: only a repetition with the same key uses nothing up. SVIDs that
 * are renewed have keys of their own.
 */
export function enrolmentKey(folder: string, newKey: () => KeyObject): KeyObject {
  const path = join(folder, ENROLMENT_KEY);
  try {
    return createPrivateKey(readFileSync(path));
  } catch {
    const key = newKey();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const pem = key.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(path, pem, { mode: 0o600, flush: true });
    return key;
  }
}

/** The next enrolment is to be with another key. */
export function forgetEnrolmentKey(folder: string): void {
  rmSync(join(folder, ENROLMENT_KEY), { force: true });
}
