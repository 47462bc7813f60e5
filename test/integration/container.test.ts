import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { SIGNET } from '../support/dev.ts';
import { run } from '../support/processes.ts';
import { temporaryFolder } from '../support/rpc.ts';

const FILE = 'containers/Containerfile.server';

/** A line of the last stage, its words after the instruction. */
function lastStage(): readonly { readonly name: string; readonly words: readonly string[] }[] {
  const text = readFileSync(FILE, 'utf8').replaceAll('\\\n', ' ');
  const lines = text.split('\n').filter((line) => /^[A-Z]+ /.test(line));
  const start = lines.findLastIndex((line) => line.startsWith('FROM '));
  return lines.slice(start).map((line) => {
    const [name = '', ...words] = line.split(/\s+/);
    return { name, words };
  });
}

/** What the stage takes from the checkout, `[from, to]`. */
function copies(): readonly (readonly [string, string])[] {
  return lastStage()
    .filter(({ name }) => name === 'COPY')
    .flatMap(({ words }) => {
      const [stage, ...paths] = words;
      assert.equal(stage, '--from=build');
      const to = paths.pop() ?? '';
      return paths.map((from): [string, string] => {
        const path = from.replace(/^\/src\//, '');
        return [join(process.cwd(), path), to.endsWith('/') ? join(to, path) : to];
      });
    });
}

/** The machine's programs and libraries, what is copied, and three folders to write to. */
const ROOT = `
set -eu
root=$1 user=$2 script=$3; shift 3
mount -t tmpfs none "$root"
cd "$root"
for dir in usr lib lib64 bin sbin etc; do
  if [ -h "/$dir" ]; then cp -P "/$dir" .
  elif [ -d "/$dir" ]; then mkdir "$dir"; mount --bind "/$dir" "$dir"; fi
done
mkdir -p proc dev tmp run var/lib/signet
mount --bind /proc proc
mount --bind /dev dev
mount -t tmpfs -o mode=1777 none tmp
mount -t tmpfs -o "uid=\${user%:*},gid=\${user#*:},mode=755" none run
mount -t tmpfs -o "uid=\${user%:*},gid=\${user#*:},mode=700" none var/lib/signet
while [ $# -gt 0 ]; do
  mkdir -p ".$(dirname "$2")"
  if [ -d "$1" ]; then mkdir ".$2"; else : >".$2"; fi
  mount --bind -o ro "$1" ".$2"
  shift 2
done
mount -o remount,ro none "$root"
exec chroot --userspec="$user" "$root" /bin/sh -c "$script"
`;

const SERVER = `
set -eu
PATH=/opt/signet/bin:$PATH
cd /
id -u
signet --version
if touch /file /opt/signet/file 2>/dev/null; then echo 'the root can be written to'; fi
echo '{ trustDomain: a.test, dataDir: /var/lib/signet, listen: { address: 127.0.0.1, port: 0 } }' >/tmp/server.yaml
signet server run --config /tmp/server.yaml 2>/tmp/log & server=$!
until signet bundle show 2>/dev/null; do
  kill -0 "$server" || { cat /tmp/log; exit 1; }
  sleep 0.2
done
kill "$server"
wait "$server"
`;

// A builder is not at hand everywhere: what the image holds is put together as its file says.
before(() => run(SIGNET, ['version']));

const rooted = { skip: process.geteuid?.() === 0 ? false : 'only root can mount' };

test(
  'what the container file of the server copies is a server that needs neither root nor a root to write to',
  rooted,
  async (context) => {
    const dir = join(temporaryFolder(context), 'root');
    mkdirSync(dir);
    const user = lastStage().find(({ name }) => name === 'USER')?.words[0] ?? '';
    assert.match(user, /^[1-9][0-9]*:[1-9][0-9]*$/);
    const taken = copies();
    assert.ok(taken.every(([, to]) => dirname(to).startsWith('/opt/signet')));
    const args = ['sh', '-c', ROOT, 'sh', dir, user, SERVER, ...taken.flat()];
    const done = await run('unshare', ['-m', '--propagation', 'private', ...args]);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    const [uid, version, ...bundle] = done.stdout.split('\n');
    assert.equal(`${uid}:${uid}`, user);
    assert.match(version ?? '', /^signet /);
    assert.equal(bundle[0], '-----BEGIN CERTIFICATE-----');
  },
);
