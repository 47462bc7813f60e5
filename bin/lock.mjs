// One process at a time. Plain JavaScript for Node.js 20, which has no file locks.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const TRY_AGAIN_MS = 100;

/**
 * Does `work` while no other process has the lock: a file with its owner's pid. It comes and goes in
 * one step, and one whose owner is gone is taken over.
 * @template T
 * @param {string} path
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(path, work) {
  mkdirSync(dirname(path), { recursive: true });
  while (!tryLock(path)) {
    removeOrphan(path);
    await sleep(TRY_AGAIN_MS);
  }
  const unlock = () => rmSync(path, { force: true });
  const onSignal = () => {
    unlock();
    process.exit(1);
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await work();
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    unlock();
  }
}

/** Written aside and linked into place, so that a lock never lacks its owner. */
function tryLock(path) {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  return linked(own, path);
}

/** Moves `from` to `to` unless something is there. */
function linked(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(from);
  }
}

/** Between the look and the removal another may have taken over and locked: what was moved is looked at again. */
function removeOrphan(path) {
  if (!isOrphan(path)) return;
  const moved = `${path}.${process.pid}.orphan`;
  try {
    renameSync(path, moved);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (isOrphan(moved)) rmSync(moved);
  else linked(moved, path);
}

function isOrphan(path) {
  try {
    process.kill(Number(readFileSync(path, 'utf8')), 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}
