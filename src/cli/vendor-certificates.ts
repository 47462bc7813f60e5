import { basename, dirname } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import { writeFiles } from './files.ts';
import type { CliIo, FlagSpec, Input } from './spec.ts';
import { safe, safeJson } from './text.ts';

/** SPIRE's flag that commands about vendors refuse, with what to do instead. */
export const VENDOR_REFUSED = { instance: 'name the socket with --server-socket' };

/** `-o` of commands that print certificates. */
export const PEM_OUTPUT_FLAG: FlagSpec = {
  name: 'output',
  short: 'o',
  value: 'form',
  choices: ['pretty', 'pem', 'json'],
  help: 'pem for portals, json (protojson names) for programs, pretty for people',
};

const OUT_FLAG: FlagSpec = {
  name: 'out',
  value: 'file',
  help: 'write what there is (PEM) into that file instead of printing it',
};

/** Flags of commands that give certificates: how they are printed, and where they are written. */
export const CERTIFICATE_FLAGS: readonly FlagSpec[] = [OUT_FLAG, PEM_OUTPUT_FLAG];

/**
 * Prints certificates as PEM or writes them into one file; `-o json` prints the answer itself. Fails
 * with CLI_ANSWER_INVALID where there is none, and those of writing.
 */
export async function giveCertificates(
  input: Input,
  io: CliIo,
  certificates: readonly Uint8Array[],
  json: unknown,
): Promise<Result<void>> {
  if (!certificates.some((der) => der.length > 0)) {
    return fail('CLI_ANSWER_INVALID', 'the answer holds no certificate');
  }
  const content = certificates.map((der) => encodePem('CERTIFICATE', der)).join('');
  const path = input.text('out');
  if (path === undefined) {
    io.out(input.text('output') === 'json' ? `${safeJson(json)}\n` : content);
    return ok(undefined);
  }
  const written = await writeFiles(dirname(path), [{ name: basename(path), content }]);
  if (!written.ok) return written;
  io.err(`Written: ${safe(path)}\n`);
  return ok(undefined);
}
