// One line of progress on stderr: rewritten in place on a terminal, repeated now and then elsewhere.

const TICK_MS = process.stderr.isTTY ? 200 : 10_000;

/**
 * Runs `work` while a line tells what is going on and for how long.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withProgress(what, work) {
  const startMs = performance.now();
  const seconds = () => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  const tty = process.stderr.isTTY;
  process.stderr.write(tty ? `${what} …` : `${what} …\n`);
  const timer = setInterval(() => {
    process.stderr.write(tty ? `\r${what} … ${seconds()}` : `${what} … ${seconds()} so far\n`);
  }, TICK_MS);
  try {
    const value = await work();
    process.stderr.write(`${tty ? '\r' : ''}${what}: done in ${seconds()}\n`);
    return value;
  } catch (error) {
    if (tty) process.stderr.write('\n');
    throw error;
  } finally {
    clearInterval(timer);
  }
}
