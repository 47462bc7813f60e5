import { basename, dirname } from 'node:path';
import { fail, ok, type Result } from '../../base/result.ts';
import { parsePem } from '../../der/pem.ts';
import {
  BoundKey,
  CreateProvisioningKeyResponse,
  type ListBoundKeysResponse,
  type ListProvisioningKeysResponse,
  ProvisioningKey,
} from '../../gen/signet/connector/v1/admin.ts';
import {
  allPages,
  CONNECTOR_PAGE_SIZE,
  type ConnectorCall,
  printAll,
  printOut,
  withConnectors,
} from '../connector-calls.ts';
import { numberFlag, oneArg } from '../connector-flags.ts';
import { formatBoundKeys, formatKeys } from '../connector-view.ts';
import { readData, writeFiles } from '../files.ts';
import { flagError, wholeSecondsFlag } from '../flags.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { formatTime, safe } from '../text.ts';

const REQUIRED_GROUP: FlagSpec = {
  name: 'group',
  value: 'name',
  required: true,
  help: 'the one connector group that the key leads to',
};

const ANY_GROUP: FlagSpec = { name: 'group', value: 'name', help: 'keys of this group' };

const DESCRIPTION: FlagSpec = { name: 'description', value: 'text', help: 'what the key is for' };

/** `signet connector key create`. */
export const connectorKeyCreate: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The key is printed once and kept nowhere: the server has its hash. Whoever has it may enrol into the group until it ends or is used up; the same pod, or the same key of a CSR, uses it up once.',
  flags: [
    REQUIRED_GROUP,
    {
      name: 'ttl',
      value: 'duration',
      help: 'how long it may be used; 24h unless told, at most 90d',
    },
    {
      name: 'max-uses',
      value: 'count',
      help: 'how many connectors may enrol with it; 1 unless told',
    },
    {
      name: 'cidr',
      value: 'cidr',
      repeat: true,
      help: 'where it may be used from: an address or a CIDR; anywhere unless told',
    },
    DESCRIPTION,
    { name: 'write', value: 'file', help: 'write the key there, 0600, instead of printing it' },
  ],
  examples: [
    'signet connector key create --group db --max-uses 2 --ttl 1h',
    'signet connector key create --group db --cidr 10.1.0.0/16 \\\n      --write provisioning-key',
  ],
  run: async (input, io) => {
    const ttl = wholeSecondsFlag(input, 'ttl');
    if (!ttl.ok) return ttl;
    const maxUses = numberFlag(input, 'max-uses');
    if (!maxUses.ok) return maxUses;
    // 0 would be the server's preset on the wire, which nobody means who writes it.
    if (ttl.value === 0) return flagError('ttl', 'must be at least 1s');
    if (maxUses.value === 0) return flagError('max-uses', 'must be at least 1');
    const request = {
      group: input.text('group') ?? '',
      ttlSeconds: ttl.value ?? 0,
      maxUses: maxUses.value ?? 0,
      cidrs: [...input.texts('cidr')],
      description: input.text('description') ?? '',
    };
    return withConnectors(input, io, async (call) => {
      const created = await call<CreateProvisioningKeyResponse>(
        'making a provisioning key',
        (client) => (m, o, done) => client.createProvisioningKey(request, m, o, done),
      );
      return created.ok ? tellKey(created.value, input, io) : created;
    });
  },
};

async function tellKey(
  created: CreateProvisioningKeyResponse,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  const { key, info } = created;
  const ends = formatTime(Number(info?.expiresAt ?? 0n), io.clock.nowMs());
  const path = input.text('write');
  if (path === undefined) {
    printOut(input, io, CreateProvisioningKeyResponse.toJSON(created), () => {
      return `Key:  ${safe(key)}\nUses: ${info?.maxUses ?? 1}\nEnds: ${ends}\n`;
    });
    return ok(undefined);
  }
  const file = { name: basename(path), content: `${key}\n`, secret: true };
  const written = await writeFiles(dirname(path), [file]);
  if (!written.ok) return written;
  io.err(`Provisioning key ${safe(info?.id ?? '')} written to ${safe(path)}; ends ${ends}\n`);
  return ok(undefined);
}

/** `signet connector key list`. */
export const connectorKeyList: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'Keys by their IDs, never with their secrets. USED: connectors that enrolled with it.',
  flags: [ANY_GROUP],
  examples: ['signet connector key list', 'signet connector key list --group db -o json'],
  run: (input, io) =>
    withConnectors(input, io, async (call) => {
      const keys = await allPages(
        (pageToken) =>
          call<ListProvisioningKeysResponse>('listing keys', (client) => (m, o, done) => {
            return client.listProvisioningKeys(pageOf(input, pageToken), m, o, done);
          }),
        (page) => page.keys,
      );
      if (!keys.ok) return keys;
      printAll(input, io, keys.value, {
        noun: 'key',
        nouns: 'keys',
        toJson: (key) => ProvisioningKey.toJSON(key),
        formatAll: formatKeys,
      });
      return ok(undefined);
    }),
};

/** `signet connector key delete`. */
export const connectorKeyDelete: CommandSpec = {
  connects: 'server',
  args: 'ID',
  about: 'Nobody enrols with it any more. Connectors that did stay.',
  flags: [],
  examples: ['signet connector key delete q5zk3b7h2a'],
  run: async (input, io) => {
    const id = oneArg(input, 'ID', 'signet connector key list');
    if (!id.ok) return id;
    return withConnectors(input, io, async (call) => {
      const deleted = await call('deleting the key', (client) => (m, o, done) => {
        return client.deleteProvisioningKey({ name: id.value }, m, o, done);
      });
      if (!deleted.ok) return deleted;
      io.out(`Deleted key ${safe(id.value)}\n`);
      return ok(undefined);
    });
  },
};

/** `signet connector bound-key register`. */
export const connectorBoundKeyRegister: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The connector that has the private key may enrol with it, and come back with it as often as is allowed when its certificate has ended. A copy of the key shows by its counter.',
  flags: [
    REQUIRED_GROUP,
    {
      name: 'public-key',
      value: 'file',
      required: true,
      help: 'PEM with the public key; "-" is standard input',
    },
    { name: 'connector', value: 'name', help: 'its name; the server chooses unless told' },
    {
      name: 'max-recoveries',
      value: 'count',
      help: 'how often it may come back without a certificate; 0 unless told',
    },
    DESCRIPTION,
  ],
  examples: [
    'signet connector bound-key register --group db --connector db-1 \\\n      --public-key connector.pub.pem --max-recoveries 3',
  ],
  run: async (input, io) => {
    const publicKey = await publicKeyOf(input, io);
    if (!publicKey.ok) return publicKey;
    const maxRecoveries = numberFlag(input, 'max-recoveries');
    if (!maxRecoveries.ok) return maxRecoveries;
    const request = {
      group: input.text('group') ?? '',
      publicKey: publicKey.value,
      connectorId: input.text('connector') ?? '',
      maxRecoveries: maxRecoveries.value ?? 0,
      description: input.text('description') ?? '',
    };
    return withConnectors(input, io, async (call) => {
      const key = await call<BoundKey>('registering the key', (client) => (m, o, done) => {
        return client.registerBoundKey(request, m, o, done);
      });
      if (!key.ok) return key;
      const { connectorId, id } = key.value;
      printOut(input, io, BoundKey.toJSON(key.value), () => {
        return `Registered key ${safe(id)}\nof connector ${safe(connectorId)}\n`;
      });
      return ok(undefined);
    });
  },
};

/** `signet connector bound-key list`. */
export const connectorBoundKeyList: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'KEY: the beginning of its ID, the SHA-256 of the public key. RECOVERIES: used, and allowed.',
  flags: [ANY_GROUP],
  examples: ['signet connector bound-key list --group db'],
  run: (input, io) =>
    withConnectors(input, io, async (call) => {
      const keys = await listBoundKeys(call, input);
      if (!keys.ok) return keys;
      printAll(input, io, keys.value, {
        noun: 'bound key',
        nouns: 'bound keys',
        key: 'keys',
        toJson: (key) => BoundKey.toJSON(key),
        formatAll: formatBoundKeys,
      });
      return ok(undefined);
    }),
};

/** `signet connector bound-key delete`. */
export const connectorBoundKeyDelete: CommandSpec = {
  connects: 'server',
  args: 'ID',
  about: 'Its connector stays for as long as its certificate does; "connector revoke" ends it now.',
  flags: [],
  examples: ['signet connector bound-key delete 9f86d081884c7d65'],
  run: async (input, io) => {
    const id = oneArg(input, 'ID', 'signet connector bound-key list');
    if (!id.ok) return id;
    return withConnectors(input, io, async (call) => {
      const whole = await wholeId(call, id.value);
      if (!whole.ok) return whole;
      const deleted = await call('deleting the key', (client) => (m, o, done) => {
        return client.deleteBoundKey({ name: whole.value }, m, o, done);
      });
      if (!deleted.ok) return deleted;
      io.out(`Deleted bound key ${safe(whole.value)}\n`);
      return ok(undefined);
    });
  },
};

/** The ID that begins so, where only one does: lists show no more. */
async function wholeId(call: ConnectorCall, id: string): Promise<Result<string>> {
  if (!/^[0-9a-f]{8,63}$/.test(id)) return ok(id);
  const keys = await listBoundKeys(call, undefined);
  if (!keys.ok) return keys;
  const found = keys.value.filter((key) => key.id.startsWith(id));
  if (found.length > 1)
    return fail('CLI_USAGE', `${found.length} keys begin with ${id}: write more`);
  return ok(found[0]?.id ?? id);
}

function listBoundKeys(
  call: ConnectorCall,
  input: Input | undefined,
): Promise<Result<readonly BoundKey[]>> {
  return allPages(
    (pageToken) =>
      call<ListBoundKeysResponse>('listing bound keys', (client) => (m, o, done) => {
        return client.listBoundKeys(pageOf(input, pageToken), m, o, done);
      }),
    (page) => page.keys,
  );
}

function pageOf(input: Input | undefined, pageToken: string) {
  return { group: input?.text('group') ?? '', pageSize: CONNECTOR_PAGE_SIZE, pageToken };
}

async function publicKeyOf(input: Input, io: CliIo): Promise<Result<Buffer>> {
  const bytes = await readData(input.text('public-key') ?? '', io);
  if (!bytes.ok) return bytes;
  const blocks = parsePem(bytes.value);
  if (!blocks.ok) return flagError('public-key', blocks.error.message);
  const [block, ...rest] = blocks.value;
  if (block?.label !== 'PUBLIC KEY' || rest.length > 0) {
    // Whoever gives the private key by mistake must not have it sent anywhere.
    return flagError('public-key', 'needs one PEM block PUBLIC KEY: openssl pkey -pubout');
  }
  return ok(Buffer.from(block.der));
}
