/**
 * A process that follows a ledger into a file and kills itself at its n-th chance: before and after
 * each delivery, and before and after each time the cursor is kept. Arguments: folder, n. Says
 * `lived` when it had everything.
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { createFileSink } from '../../src/audit/file-sink.ts';
import { openFollower } from '../../src/audit/follower.ts';
import { unwrap } from '../../src/base/result.ts';
import { readHead, readVerifier } from '../../src/ledger/reader.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { followerBounds } from './audit.ts';

const [folder = '', killAt = '0'] = process.argv.slice(2);
let left = Number(killAt);

/** A moment that this process may not live to see the end of. */
function chance(): void {
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}

const tree = new FileTree(folder);
const checkpoint = unwrap(await readHead(tree, unwrap(await readVerifier(tree))));
const file = createFileSink(join(folder, 'audit.jsonl'));
const follower = unwrap(
  await openFollower({
    ...followerBounds(),
    files: {
      list: (name) => tree.list(name),
      size: (name) => tree.size(name),
      read: (...args) => tree.read(...args),
      async replace(...args) {
        chance();
        const replaced = await tree.replace(...args);
        chance();
        return replaced;
      },
    },
    ledger: { checkpoint, onCheckpoint: () => () => {} },
    sink: {
      async deliver(lines, signal) {
        chance();
        const delivered = await file.deliver(lines, signal);
        chance();
        return delivered;
      },
      reopen: () => file.reopen(),
      close: () => file.close(),
    },
  }),
);
const timer = setInterval(() => {}, 1000);
follower.start();
while (follower.lagRecords > 0) await new Promise((resolve) => setImmediate(resolve));
await follower.close();
clearInterval(timer);
writeSync(1, 'lived');
