import { constants, generateKeyPair, type KeyObject, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { systemRandom } from '../../src/base/random.ts';
import { openBox, sealBox } from '../../src/keys/box.ts';

interface FakeVersion {
  readonly privateKey: KeyObject;
  readonly public_key: string;
  readonly creation_time: string;
}

interface FakeKey {
  type: string;
  versions: FakeVersion[];
  /** Versions of an `aes256-gcm96` key, which has no others. */
  readonly secrets: { readonly key: Buffer; readonly createdSeconds: number }[];
  minEncryption: number;
  deletable: boolean;
}

/** What the fake does with a request in place of serving it. */
export type VaultFault = { readonly status: number; readonly error: string } | 'reset' | 'silence';

/** What a mount answers to a path below it: status and body. */
export type VaultEngine = (
  path: string,
  body: Readonly<Record<string, unknown>>,
) => readonly [number, unknown];

/**
 * A fake of Vault's transit engine, written after its public API pages: no real server could be had.
 * It knows what the key manager asks and nothing else.
 */
export interface FakeVault {
  readonly address: string;
  readonly keys: Map<string, FakeKey>;
  /** Tokens that are good; logins add to it. */
  readonly tokens: Set<string>;
  /** Logins seen, by path. */
  readonly logins: string[];
  /** Namespace of each request, as it came. */
  readonly namespaces: (string | undefined)[];
  /** Other engines than transit, by their mounts. */
  readonly engines: Map<string, VaultEngine>;
  /** Decides what happens to a request, by `METHOD path`; undefined serves it. */
  decide: (request: string) => VaultFault | undefined;
  /** Makes versions of keys, as the engine would. */
  addVersion(key: FakeKey): Promise<void>;
  close(): Promise<void>;
}

type Fake = Omit<FakeVault, 'address' | 'close'>;

const HASHES: Readonly<Record<string, string>> = {
  'sha2-256': 'sha256',
  'sha2-384': 'sha384',
  'sha2-512': 'sha512',
};

const generate = promisify(generateKeyPair);

/** On another thread: a fake that blocked would pass for a key manager that blocks. */
function makePair(type: string): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  if (type === 'ecdsa-p256') return generate('ec', { namedCurve: 'P-256' });
  if (type === 'ecdsa-p384') return generate('ec', { namedCurve: 'P-384' });
  return generate('rsa', { modulusLength: type === 'rsa-4096' ? 4096 : 2048 });
}

/** Starts the fake on loopback; `root` is a good token. */
export async function startFakeVault(): Promise<FakeVault> {
  let made = Date.now();
  const fake: Fake = {
    keys: new Map(),
    tokens: new Set(['root']),
    logins: [],
    namespaces: [],
    engines: new Map(),
    decide: () => undefined,
    async addVersion(key) {
      if (key.type === 'aes256-gcm96') {
        made += 1;
        key.secrets.push({ key: randomBytes(32), createdSeconds: Math.floor(made / 1000) });
        return;
      }
      const { publicKey, privateKey } = await makePair(key.type);
      made += 1;
      key.versions.push({
        privateKey,
        public_key: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
        creation_time: new Date(made).toISOString(),
      });
    },
  };
  const server = createServer(async (request, answer) => {
    const path = (request.url ?? '').replace('/v1/', '');
    const fault = fake.decide(`${request.method} ${path}`);
    fake.namespaces.push(request.headers['x-vault-namespace']?.toString());
    if (fault === 'reset') return void request.socket.destroy();
    if (fault === 'silence') return;
    if (fault !== undefined) return reply(answer, fault.status, { errors: [fault.error] });
    const [status, body] = await serve(fake, { request, path, body: await bodyOf(request) });
    reply(answer, status, body);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return Object.assign(fake, {
    address: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}

async function bodyOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const text = Buffer.concat(await request.toArray()).toString();
  return text === '' ? {} : JSON.parse(text);
}

function reply(answer: ServerResponse, status: number, body: unknown): void {
  answer.writeHead(status, { 'content-type': 'application/json' });
  answer.end(body === undefined ? '' : JSON.stringify(body));
}

interface Served {
  readonly request: IncomingMessage;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

type Answered = readonly [number, unknown];

const refuse = (status: number, error: string): Answered => [status, { errors: [error] }];

async function serve(fake: Fake, { request, path, body }: Served): Promise<Answered> {
  const [mount, kind, name = '', action] = path.split('/');
  if (mount === 'auth') {
    fake.logins.push(`${path} ${JSON.stringify(body)}`);
    const client_token = `login-${fake.logins.length}`;
    fake.tokens.add(client_token);
    return [200, { auth: { client_token, lease_duration: 3600 } }];
  }
  if (!fake.tokens.has(String(request.headers['x-vault-token']))) {
    return refuse(403, 'permission denied: invalid token');
  }
  const engine = fake.engines.get(mount ?? '');
  if (engine !== undefined) return engine(path.slice(`${mount}/`.length), body);
  if (mount !== 'transit') return refuse(404, 'no handler for route');
  if (kind === 'sign') return signOne(fake.keys.get(name), action ?? '', body);
  if (kind === 'encrypt') return encryptOne(fake.keys.get(name), body);
  if (kind === 'decrypt') return decryptOne(fake.keys.get(name), body);
  if (path === 'transit/keys?list=true') {
    return fake.keys.size === 0
      ? [404, { errors: [] }]
      : [200, { data: { keys: [...fake.keys.keys()] } }];
  }
  return serveKey(fake, { method: request.method ?? '', name, action, body });
}

async function serveKey(
  fake: Fake,
  {
    method,
    name,
    action,
    body,
  }: { method: string; name: string; action: string | undefined; body: Served['body'] },
): Promise<Answered> {
  const key = fake.keys.get(name);
  if (method === 'POST' && action === undefined) {
    if (key === undefined) {
      const made: FakeKey = {
        type: String(body.type),
        versions: [],
        secrets: [],
        minEncryption: 0,
        deletable: false,
      };
      await fake.addVersion(made);
      fake.keys.set(name, made);
    }
    return [204, undefined];
  }
  if (key === undefined) return [404, { errors: [] }];
  if (action === 'rotate') await fake.addVersion(key);
  if (action === 'config') key.deletable = body.deletion_allowed === true;
  if (method === 'DELETE') {
    if (!key.deletable) return refuse(400, 'deletion is not allowed for this key');
    fake.keys.delete(name);
  }
  if (method !== 'GET') return [204, undefined];
  const described = [
    ...key.versions.map(({ public_key, creation_time }) => ({ public_key, creation_time })),
    ...key.secrets.map(({ createdSeconds }) => createdSeconds),
  ];
  const keys = Object.fromEntries(described.map((each, index) => [String(index + 1), each]));
  const { type, minEncryption: min_encryption_version } = key;
  return [200, { data: { type, latest_version: described.length, min_encryption_version, keys } }];
}

const bytes = (base64: unknown): Buffer => Buffer.from(String(base64), 'base64');

function encryptOne(key: FakeKey | undefined, body: Served['body']): Answered {
  const newest = key?.secrets.at(-1);
  if (newest === undefined) return refuse(400, 'encryption key not found');
  const boxKey = { key: newest.key, associatedData: bytes(body.associated_data) };
  const box = sealBox(boxKey, bytes(body.plaintext), systemRandom);
  return [200, { data: { ciphertext: `vault:v${key?.secrets.length}:${box.toString('base64')}` } }];
}

function decryptOne(key: FakeKey | undefined, body: Served['body']): Answered {
  const [, version = '', box = ''] = String(body.ciphertext).split(':');
  const secret = key?.secrets[Number(version.slice(1)) - 1];
  if (key === undefined) return refuse(400, 'encryption key not found');
  if (secret === undefined) return refuse(400, 'invalid ciphertext: version is too new');
  try {
    const boxKey = { key: secret.key, associatedData: bytes(body.associated_data) };
    return [200, { data: { plaintext: openBox(boxKey, bytes(box)).toString('base64') } }];
  } catch {
    return refuse(400, 'cipher: message authentication failed');
  }
}

function signOne(key: FakeKey | undefined, hash: string, body: Served['body']): Answered {
  if (key === undefined) return refuse(400, 'signing key not found');
  const number = Number(body.key_version);
  if (number < key.minEncryption) {
    return refuse(
      400,
      'requested version for signing is less than the minimum encryption key version',
    );
  }
  const version = key.versions[number - 1];
  if (version === undefined) return refuse(400, 'requested version is too high');
  const pss = body.signature_algorithm === 'pss' && key.type.startsWith('rsa');
  const padding = pss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  const message = Buffer.from(String(body.input), 'base64');
  const signature = sign(HASHES[hash] ?? '', message, { key: version.privateKey, ...padding });
  return [200, { data: { signature: `vault:v${number}:${signature.toString('base64')}` } }];
}
