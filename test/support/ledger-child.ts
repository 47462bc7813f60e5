/**
 * A process that appends to a ledger on the real disk and kills itself before its n-th step on a
 * file. Arguments: folder, PKCS#8 key in base64, n. Prints what was answered, a line each.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ok, unwrap } from '../../src/base/result.ts';
import type { LedgerFiles } from '../../src/ledger/files.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { makeEntries } from './ledger.ts';

const [folder = '', keyBase64 = '', killAt = '0'] = process.argv.slice(2);
const key = createPrivateKey({
  key: Buffer.from(keyBase64, 'base64'),
  type: 'pkcs8',
  format: 'der',
});
const tell = (line: string): void => void writeSync(1, `${line}\n`);

const tree = new FileTree(folder);
let left = Number(killAt);

/** A step that this process may not live to see. */
function mortal<A extends unknown[], R>(step: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    left -= 1;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
    return step(...args);
  };
}

const files: LedgerFiles = {
  list: (...args) => tree.list(...args),
  size: (...args) => tree.size(...args),
  read: (...args) => tree.read(...args),
  create: mortal((...args) => tree.create(...args)),
  async writeDurably(name, offset, bytes) {
    // A write that is under way when the process dies leaves a part of it.
    const half = bytes.subarray(0, Math.floor(bytes.length / 2));
    unwrap(await tree.write(name, offset, half));
    return mortal(() => tree.writeDurably(name, offset, bytes))();
  },
  write: mortal((...args) => tree.write(...args)),
  sync: mortal((...args) => tree.sync(...args)),
  truncate: mortal((...args) => tree.truncate(...args)),
  replace: mortal((...args) => tree.replace(...args)),
  remove: mortal((...args) => tree.remove(...args)),
};

const ledger = unwrap(
  await openLedger({
    files,
    signer: {
      algorithm: 'ed25519',
      publicKeySpki: createPublicKey(key).export({ type: 'spki', format: 'der' }),
      sign: async (message) => ok(sign(null, message, key)),
    },
    clock: systemClock,
    random: systemRandom,
    originPrefix: 'example.org/ledger',
    segmentBytes: 200,
  }),
);
tell(`head ${ledger.size} ${Buffer.from(ledger.checkpoint.root).toString('hex')}`);
for (let round = 0; round < 2; round++) {
  const first = ledger.size;
  const answered = [ledger.append(makeEntries(first, 2)), ledger.append(makeEntries(first + 2, 3))];
  for (const each of answered) unwrap(await each);
  tell(`answered ${ledger.size}`);
  const { size, root } = unwrap(await ledger.publish());
  tell(`head ${size} ${Buffer.from(root).toString('hex')}`);
}
await ledger.close();
tell('lived');
