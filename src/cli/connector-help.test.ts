import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectorCommands } from './connector-commands.ts';
import { COLUMNS } from './text.ts';

// Those of vendors' keys and CAs have pages of their own.
const commands = connectorCommands.filter(({ path }) => !path.startsWith('connector vendor-'));

test('examples fit a terminal, and leave nothing to the shell to replace', async () => {
  for (const { path, load } of commands) {
    const { examples } = await load();
    assert.ok(examples.length > 0, path);
    for (const line of examples.flatMap((example) => example.split('\n'))) {
      assert.ok(
        (line.startsWith(' ') ? line : `  $ ${line}`).length <= COLUMNS,
        `${path}: ${line}`,
      );
      const bare = line.replace(/'[^']*'|"[^"]*"/g, '');
      assert.doesNotMatch(bare, /[*?[\]]/, `${path}: ${line}`);
    }
  }
});

test('help says more of a command than its title', async () => {
  const words = (text: string): string =>
    text
      .toLowerCase()
      .replace(/[^a-z]+/g, ' ')
      .trim();
  for (const { path, load, summary } of commands) {
    const { about } = await load();
    const [first = ''] = (about ?? '').split(/[.:;]/);
    assert.notEqual(words(first), words(summary), path);
  }
});
