import { fail, ok, type Result } from '../../base/result.ts';
import { type Corim, MAX_CORIM_BYTES, readCorim } from '../../dpu/manifest/corim.ts';
import { isEnvelope, openManifest } from '../../dpu/manifest/open-manifest.ts';
import { parseManifest } from '../../dpu/manifest/parse-manifest.ts';
import type { ReferenceManifest } from '../../dpu/manifest/reference-manifest.ts';
import { type ManifestSigner, signManifest } from '../../dpu/manifest/sign-manifest.ts';
import { parseSignerKey } from '../../dpu/manifest/signer-key.ts';
import { readPemKeyFile } from '../../keys/pem-key-file.ts';
import type { PublicKey } from '../../x509/types.ts';
import { readData } from '../files.ts';
import { flagError } from '../flags.ts';
import { formatCorim, formatManifest, manifestFacts } from '../manifest-view.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { safeJson } from '../text.ts';

const CORIM_FLAGS: readonly FlagSpec[] = [
  { name: 'corim', value: 'path', repeat: true, help: 'a CoRIM that releases take values from' },
  {
    name: 'corim-key',
    value: 'path',
    repeat: true,
    help: 'public key (PEM) that may have signed a CoRIM',
  },
];

/** `signet dpu manifest verify`. */
export const dpuManifestVerify: CommandSpec = {
  prints: true,
  args: 'file',
  about:
    'Checks the signatures of a reference manifest under the keys given and reads it as the server does. One that has expired is shown, and refused. Needs no server; docs/dpu-manifests.md has the form.',
  flags: [
    {
      name: 'key',
      value: 'path',
      repeat: true,
      required: true,
      help: 'public key (PEM) of a publisher',
    },
    { name: 'threshold', value: 'number', help: 'how many different keys must have signed; 1' },
    ...CORIM_FLAGS,
  ],
  examples: ['signet dpu manifest verify --key publisher.pem bluefield-3.dsse.json'],
  run: async (input, io) => {
    const read = await readInputs(input, io);
    if (!read.ok) return read;
    const keys = await readKeys(input, 'key', io);
    if (!keys.ok) return keys;
    const threshold = thresholdOf(input);
    if (!threshold.ok) return threshold;
    const signers = { keys: keys.value, threshold: threshold.value };
    const manifest = openManifest(read.value.file, signers, read.value.corims);
    if (!manifest.ok) return manifest;
    print(input, io, manifest.value, 'Signatures hold.');
    return checkExpiry(manifest.value, io);
  },
};

/** `signet dpu manifest show`. */
export const dpuManifestShow: CommandSpec = {
  prints: true,
  args: 'file',
  about:
    'Reads a manifest that is not signed yet, as a publisher writes it, and shows what it says. To see a signed one, verify it.',
  flags: CORIM_FLAGS,
  examples: ['signet dpu manifest show bluefield-3.json'],
  run: async (input, io) => {
    const read = await readInputs(input, io);
    if (!read.ok) return read;
    const manifest = parseManifest(read.value.file, read.value.corims);
    if (!manifest.ok && isEnvelope(read.value.file)) {
      return fail('CLI_USAGE', 'the manifest is signed: "signet dpu manifest verify" shows it');
    }
    if (!manifest.ok) return manifest;
    print(input, io, manifest.value, 'Not signed: no server takes it as it is.');
    return checkExpiry(manifest.value, io);
  },
};

/** `signet dpu manifest sign`. */
export const dpuManifestSign: CommandSpec = {
  args: 'file',
  about:
    'Signs a reference manifest and prints it as servers read it; to one that is signed already it adds a signature. It is read first as a server reads it, so that nothing is signed that no server takes. Needs no server. A key in a KMS or of another kind signs by hand: docs/dpu-manifests.md says how.',
  flags: [
    {
      name: 'key',
      value: 'path',
      required: true,
      help: 'private key (PEM) of the publisher: P-256, P-384, RSA 2048 or 4096; yours alone (0600)',
    },
    ...CORIM_FLAGS,
  ],
  examples: ['signet dpu manifest sign --key publisher-key.pem bf3.json > bf3.dsse.json'],
  run: async (input, io) => {
    const read = await readInputs(input, io);
    if (!read.ok) return read;
    const key = await readPemKeyFile(input.text('key') ?? '', 'publisher');
    if (!key.ok) return key;
    const { publicKeySpki } = key.value;
    const sign: ManifestSigner['sign'] = (message, hash) =>
      key.value.sign(message, { hash, encoding: 'der' });
    const { file, corims } = read.value;
    const signed = await signManifest(file, { publicKeySpki, sign }, corims);
    if (!signed.ok) return signed;
    io.out(Buffer.from(signed.value).toString('utf8'));
    return ok(undefined);
  },
};

/** `signet dpu corim show`. */
export const dpuCorimShow: CommandSpec = {
  args: 'file',
  about: 'Reads a CoRIM and shows its SHA-256 and its environments, by which a manifest names it.',
  flags: [
    { name: 'key', value: 'path', repeat: true, help: 'public key (PEM) that may have signed it' },
  ],
  examples: ['signet dpu corim show --key vendor.pem bluefield-3.corim'],
  run: async (input, io) => {
    const keys = await readKeys(input, 'key', io);
    if (!keys.ok) return keys;
    const path = pathOf(input);
    if (!path.ok) return path;
    const corim = await readCorimFile(path.value, keys.value, io);
    if (!corim.ok) return corim;
    io.out(formatCorim(corim.value));
    return ok(undefined);
  },
};

interface Inputs {
  readonly file: Uint8Array;
  readonly corims: ReadonlyMap<string, Corim>;
}

async function readInputs(input: Input, io: CliIo): Promise<Result<Inputs>> {
  const path = pathOf(input);
  if (!path.ok) return path;
  const file = await readData(path.value, io);
  if (!file.ok) return file;
  const keys = await readKeys(input, 'corim-key', io);
  if (!keys.ok) return keys;
  const corims = new Map<string, Corim>();
  for (const corimPath of input.texts('corim')) {
    const corim = await readCorimFile(corimPath, keys.value, io);
    if (!corim.ok) return corim;
    corims.set(corim.value.sha256, corim.value);
  }
  return ok({ file: file.value, corims });
}

function pathOf(input: Input): Result<string> {
  const [path, ...others] = input.args;
  if (path === undefined || path === '' || others.length > 0) {
    return fail('CLI_USAGE', 'needs one file; "-" reads standard input');
  }
  return ok(path);
}

async function readCorimFile(
  path: string,
  keys: readonly PublicKey[],
  io: CliIo,
): Promise<Result<Corim>> {
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  if (bytes.value.length > MAX_CORIM_BYTES) return fail('CLI_FILE', 'the CoRIM is above 4 MiB');
  return readCorim(bytes.value, { keys, atMs: io.clock.nowMs() });
}

async function readKeys(
  input: Input,
  flag: string,
  io: CliIo,
): Promise<Result<readonly PublicKey[]>> {
  const keys: PublicKey[] = [];
  for (const path of input.texts(flag)) {
    const pem = await readData(path, io);
    if (!pem.ok) return pem;
    const key = parseSignerKey(pem.value);
    if (!key.ok) return fail(key.error.code, `${path}: ${key.error.message}`);
    keys.push(key.value);
  }
  return ok(keys);
}

function thresholdOf(input: Input): Result<number> {
  const text = input.text('threshold') ?? '1';
  return /^[1-9]\d?$/.test(text) ? ok(Number(text)) : flagError('threshold', 'is not 1 to 99');
}

function print(input: Input, io: CliIo, manifest: ReferenceManifest, heading: string): void {
  if (input.text('output') === 'json') io.out(`${safeJson(manifestFacts(manifest))}\n`);
  else io.out(`${heading}\n\n${formatManifest(manifest, io.clock.nowMs())}`);
}

/** A server takes such a manifest, and then refuses every device by it. */
function checkExpiry({ id, sequence, expiresAtMs }: ReferenceManifest, io: CliIo): Result<void> {
  if (expiresAtMs === undefined || io.clock.nowMs() < expiresAtMs) return ok(undefined);
  return fail('MANIFEST_EXPIRED', `manifest: ${id} ${sequence} has expired: it admits no device`);
}
