import { hash } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { KEY_TYPES, type SigningKey } from './key-manager.ts';
import { importLocalKey } from './local-key.ts';

const FORMAT = 'signet-key-1';

/** What a key file says, before its checksum. */
interface KeyFile {
  readonly slot: string;
  readonly type: string;
  /** PKCS#8 DER, base64. */
  readonly pkcs8: string;
}

/** Content of the file of a key: four lines of text and a checksum over them. */
export function encodeKeyFile(key: SigningKey, pkcs8: Uint8Array): Uint8Array {
  const base64 = Buffer.from(pkcs8).toString('base64');
  return Buffer.from(render({ slot: key.slot, type: key.type, pkcs8: base64 }), 'latin1');
}

/**
 * Reads the file of a slot. Anything but the very bytes that were written is refused, so that a
 * half-written or flipped file never becomes another key.
 */
export function decodeKeyFile(slot: string, content: Uint8Array): Result<SigningKey> {
  const corrupt = (what: string) =>
    fail('KEY_FILE_CORRUPT', `the key file of slot ${slot} ${what}`);
  const text = Buffer.from(content).toString('latin1');
  const [, fileSlot, typeText, pkcs8] = text.split('\n');
  if (fileSlot === undefined || typeText === undefined || pkcs8 === undefined) {
    return corrupt('is truncated');
  }
  if (text !== render({ slot: fileSlot, type: typeText, pkcs8 })) {
    return corrupt('does not match its checksum');
  }
  if (fileSlot !== slot) return corrupt('holds the key of another slot');
  const type = KEY_TYPES.find((known) => known === typeText);
  if (type === undefined) return corrupt('names a key type that this program does not know');
  const key = importLocalKey({ slot, type, pkcs8: Buffer.from(pkcs8, 'base64') });
  return key === undefined ? corrupt('holds no key of the type it names') : ok(key);
}

function render(file: KeyFile): string {
  const body = `${FORMAT}\n${file.slot}\n${file.type}\n${file.pkcs8}\n`;
  return `${body}sha256:${hash('sha256', body)}\n`;
}
