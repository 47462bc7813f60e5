import { createHash } from 'node:crypto';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';

/** What the text of a provisioning key begins with: tells it from other secrets, for scanners too. */
const PREFIX = 'sck1';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

const ID_CHARACTERS = 10;

/** 256 bits: guessing is out of the question, so that a plain hash keeps the secret. */
const SECRET_BYTES = 32;

const FORM = /^sck1\.([a-z2-7]{10})\.([A-Za-z0-9_-]{43})$/;

/** The parts of a provisioning key that are kept. */
export interface ProvisioningKeyName {
  /** Not secret. */
  readonly id: string;
  /** SHA-256 of the secret, hex. */
  readonly secretHash: string;
}

/** A provisioning key that was just made. */
export interface NewProvisioningKey extends ProvisioningKeyName {
  /** `sck1.<id>.<secret>`: for its holder, and kept nowhere else. */
  readonly text: string;
}

/** Makes a provisioning key. */
export function newProvisioningKey(random: Random): NewProvisioningKey {
  // 256 is a multiple of 32: every character is as likely as the others.
  const id = Array.from(random.bytes(ID_CHARACTERS), (byte) => ALPHABET[byte % 32]).join('');
  const secret = random.bytes(SECRET_BYTES);
  const text = `${PREFIX}.${id}.${Buffer.from(secret).toString('base64url')}`;
  return { id, secretHash: hashOf(secret), text };
}

/**
 * Reads the text of a provisioning key, spaces around it left out. Fails with CONNECTOR_KEY_UNKNOWN, whose
 * message never quotes the text.
 */
export function parseProvisioningKey(text: string): Result<ProvisioningKeyName> {
  const found = FORM.exec(text.slice(0, 256).trim());
  const [, id = '', encoded = ''] = found ?? [];
  const secret = Buffer.from(encoded, 'base64url');
  // Bits beyond the last octet could be anything: one key has one text.
  if (found === null || secret.toString('base64url') !== encoded) {
    return fail(
      'CONNECTOR_KEY_UNKNOWN',
      'the provisioning key is not of the form sck1.<id>.<secret>',
    );
  }
  return ok({ id, secretHash: hashOf(secret) });
}

function hashOf(secret: Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex');
}
