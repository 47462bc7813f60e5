import { fail, ok, type Result } from '../../base/result.ts';
import {
  ListVendorKeysResponse,
  VendorAdminClient,
  VendorKey,
} from '../../gen/signet/connector/v1/vendor.ts';
import { readData } from '../files.ts';
import { flagError } from '../flags.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { formatTable, formatTime, safe, safeJson } from '../text.ts';

const REFUSED = { instance: 'name the socket with --server-socket' };

const GROUP_FLAG: FlagSpec = {
  name: 'group',
  value: 'name',
  required: true,
  help: 'the connector group whose companions may have it',
};

/** Longest key that is read, in bytes: that of the server and a line end. */
const MAX_KEY_BYTES = 4098;

const set: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The key is kept encrypted and given only to attested companions of the group. It is read from a file or standard input, never from the command line, where other users could read it. Giving the same key again keeps the uses that were counted.',
  flags: [
    GROUP_FLAG,
    { name: 'max-uses', value: 'number', required: true, help: "by the vendor's portal" },
    { name: 'used', value: 'number', help: 'uses that others made of it already; 0 unless told' },
    { name: 'file', short: 'f', value: 'file', required: true, help: '- is standard input' },
    { name: 'description', value: 'text', help: 'for people' },
  ],
  refused: REFUSED,
  examples: [
    'signet connector vendor-key set --group berlin --max-uses 100 \\\n      --used 3 -f key.txt',
  ],
  run: async (input, io) => {
    const maxUses = countFlag(input, 'max-uses');
    if (!maxUses.ok) return maxUses;
    const used = countFlag(input, 'used');
    if (!used.ok) return used;
    const key = await readKey(input, io);
    if (!key.ok) return key;
    const request = {
      group: input.text('group') ?? '',
      key: key.value,
      maxUses: maxUses.value,
      used: used.value,
      description: input.text('description') ?? '',
    };
    return withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<VendorKey>('giving the key', (m, o, done) =>
        client.putVendorKey(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const { group, fingerprint, uses, maxUses: most } = answer.value;
      const json = input.text('output') === 'json';
      const text = `Key ${safe(fingerprint)} of group ${safe(group)}: ${uses} of ${most} uses\n`;
      io.out(json ? `${safeJson(VendorKey.toJSON(answer.value))}\n` : text);
      return ok(undefined);
    });
  },
};

const list: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'The keys themselves are never shown.',
  flags: [],
  refused: REFUSED,
  examples: ['signet connector vendor-key list'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<ListVendorKeysResponse>('listing keys', (m, o, done) =>
        client.listVendorKeys({}, m, o, done),
      );
      if (!answer.ok) return answer;
      if (input.text('output') === 'json') {
        io.out(`${safeJson(ListVendorKeysResponse.toJSON(answer.value))}\n`);
        return ok(undefined);
      }
      const rows = answer.value.keys.map((key) => [
        key.group,
        `${key.uses} of ${key.maxUses}`,
        key.fingerprint,
        // The day alone: the rest would be cut.
        formatTime(Number(key.changedAt), io.clock.nowMs()).slice(0, 10),
        key.description,
      ]);
      const heads = ['GROUP', 'USES', 'FINGERPRINT', 'SET', 'DESCRIPTION'];
      io.out(rows.length === 0 ? 'There is no vendor key.\n' : formatTable(heads, rows));
      return ok(undefined);
    }),
};

const remove: CommandSpec = {
  connects: 'server',
  about: 'Connectors that have it keep it: revoke the key in the portal of the vendor as well.',
  flags: [GROUP_FLAG],
  refused: REFUSED,
  examples: ['signet connector vendor-key delete --group berlin'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const group = input.text('group') ?? '';
      const answer = await server.call('deleting the key', (m, o, done) =>
        client.deleteVendorKey({ group }, m, o, done),
      );
      if (!answer.ok) return answer;
      io.out(`Deleted the vendor key of group ${safe(group)}\n`);
      return ok(undefined);
    }),
};

/** `signet connector vendor-key set|list|delete`. */
export const vendorKey = { set, list, remove };

function countFlag(input: Input, flag: string): Result<number> {
  const text = input.text(flag) ?? '0';
  return /^\d{1,6}$/.test(text) ? ok(Number(text)) : flagError(flag, 'must be a whole number');
}

/** One line; the key is in no refusal. */
async function readKey(input: Input, io: CliIo): Promise<Result<string>> {
  const data = await readData(input.text('file') ?? '', io);
  if (!data.ok) return data;
  const text = Buffer.from(data.value)
    .toString('latin1')
    .replace(/\r?\n$/, '');
  const isLine = data.value.length <= MAX_KEY_BYTES && /^[\x21-\x7e]+$/.test(text);
  return isLine ? ok(text) : fail('CLI_FILE', 'the file of the key holds something else than one');
}
