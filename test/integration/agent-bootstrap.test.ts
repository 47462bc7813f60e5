import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { Field } from '../support/field.ts';
import { soon } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';

/** A volume of a ConfigMap as a kubelet writes it: what is in it changes by one rename. */
class PublishedFile {
  readonly #dir: string;
  #version = 0;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir);
    symlinkSync('..data/bundle.pem', this.path);
  }

  get path(): string {
    return join(this.#dir, 'bundle.pem');
  }

  publish(pem: string): void {
    const name = `..version-${++this.#version}`;
    mkdirSync(join(this.#dir, name));
    writeFileSync(join(this.#dir, name, 'bundle.pem'), pem);
    symlinkSync(name, join(this.#dir, '..data_tmp'));
    renameSync(join(this.#dir, '..data_tmp'), join(this.#dir, '..data'));
  }
}

/** A log whose lines the test can look through. */
function keptLog() {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  return { log, has: (text: string) => lines.some((line) => line.includes(text)) };
}

test('an agent waits for the bundle that is published, and follows it to a server made anew', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const published = new PublishedFile(join(field.dir, 'volume'));
  const tokenPath = join(field.dir, 'token');
  writeFileSync(tokenPath, await field.token());
  const { log, has } = keptLog();
  const bootstrap = { bundlePath: published.path };
  const agent = assertValue(await field.agent({ join: { tokenPath }, bootstrap }, log));
  const ready = async () => agent.health.report('ready').ok;
  await soon(async () => has('AGENT_BOOTSTRAP_BUNDLE'));
  assert.equal(await ready(), false);
  published.publish('');
  published.publish(await field.bundlePem());
  await soon(ready);

  await field.stopServer();
  rmSync(join(field.dir, 's'), { recursive: true });
  await field.startServer();
  writeFileSync(tokenPath, await field.token());
  await soon(async () => has('server not accepted'));
  assert.ok(!has('attesting once more'), 'what is published holds what the agent holds');
  const attested = async () => (await field.agentIds()).length === 1;
  assert.equal(await attested(), false);
  published.publish(await field.bundlePem());
  await soon(attested);
  assert.ok(has('attesting once more'));
});
