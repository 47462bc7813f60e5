import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >;
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

const lockText = readFileSync('package-lock.json', 'utf8');
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;

test('the lock file holds no addresses', () => {
  assert.doesNotMatch(lockText, /"resolved": "http/);
  assert.doesNotMatch(lockText, /https?:\/\/(registry|proxy|mirror)/);
});

test('the lock file holds every optional platform package, so that every npm accepts it', () => {
  const { packages } = JSON.parse(lockText) as Lock;
  const missing = Object.entries(packages).flatMap(([place, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {}).filter(
      (name) =>
        !(`node_modules/${name}` in packages) && !(`${place}/node_modules/${name}` in packages),
    ),
  );
  assert.deepEqual(missing, []);
});

test('dependencies are pinned and each has its line in docs/dependencies.md', () => {
  const page = readFileSync('docs/dependencies.md', 'utf8');
  const all = {
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  };
  for (const [name, version] of Object.entries(all)) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not pinned`);
    assert.ok(page.includes(`| \`${name}\` |`), `${name} has no line`);
  }
});

test('docs/dependencies.md names no package that is not a dependency', () => {
  const known = new Set(
    [manifest.dependencies, manifest.devDependencies, manifest.optionalDependencies].flatMap(
      (group) => Object.keys(group),
    ),
  );
  const rows = readFileSync('docs/dependencies.md', 'utf8').matchAll(/^\| `([^`]+)` \|/gm);
  assert.deepEqual(
    [...rows].map(([, name]) => name ?? '').filter((name) => !known.has(name)),
    [],
  );
});
