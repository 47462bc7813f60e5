import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { START_SECONDS, TRUST_DOMAIN, temporaryFolder } from '../../../test/support/state.ts';
import { unwrap } from '../../base/result.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';
import { openSqliteStore } from './sqlite-store.ts';

/** A database in a folder of its own; each visit opens it, makes a join token and closes it. */
async function place(context: TestContext) {
  const path = join(await temporaryFolder(context), 'server.sqlite');
  let tokens = 0;
  const visit = async (): Promise<string> => {
    const opened = await openSqliteStore({ path, trustDomain: TRUST_DOMAIN });
    if (!opened.ok) return opened.error.code;
    tokens += 1;
    const tokenHash = `${path} ${tokens}`;
    const token = { tokenHash, expiresAtSeconds: START_SECONDS, aliasId: undefined };
    unwrap(await opened.value.createJoinToken(token));
    await opened.value.close();
    return 'opened';
  };
  return { path, mark: `${path}-mark`, visit };
}

test('an older copy in the place of a database is refused, by writes that leave no change too', async (context) => {
  const { path, visit } = await place(context);
  assert.equal(await visit(), 'opened');
  copyFileSync(path, `${path}.older`);
  assert.equal(await visit(), 'opened');
  copyFileSync(path, `${path}.newer`);
  copyFileSync(`${path}.older`, path);
  assert.equal(await visit(), 'STORE_ROLLED_BACK');
  assert.equal(await visit(), 'STORE_ROLLED_BACK', 'refusing changes nothing');
  copyFileSync(`${path}.newer`, path);
  assert.equal(await visit(), 'opened');
});

test('another database in its place is refused, however far it is', async (context) => {
  const [here, other] = [await place(context), await place(context)];
  assert.equal(await here.visit(), 'opened');
  for (let i = 0; i < 3; i++) assert.equal(await other.visit(), 'opened');
  copyFileSync(other.path, here.path);
  assert.equal(await here.visit(), 'STORE_ROLLED_BACK');
});

test('a mark that is behind, or not there, is no reason to refuse; one that is damaged is', async (context) => {
  const { mark, visit } = await place(context);
  await visit();
  copyFileSync(mark, `${mark}.older`);
  await visit();
  copyFileSync(`${mark}.older`, mark);
  assert.equal(await visit(), 'opened', 'what a crash before the next mark leaves');
  rmSync(mark);
  assert.equal(await visit(), 'opened', 'a program that kept none wrote last');
  const [id = '', commits = ''] = readFileSync(mark, 'latin1').trim().split(' ');
  for (const text of ['', `${id}\n`, `${id} -1\n`, `${id} ${commits}`]) {
    writeFileSync(mark, text);
    assert.equal(await visit(), 'STORE_CORRUPT', JSON.stringify(text));
  }
  writeFileSync(mark, `${id} ${Number(commits) + 1}\n`);
  assert.equal(await visit(), 'STORE_ROLLED_BACK', 'n + 1');
  writeFileSync(mark, `${id} ${commits}\n`);
  assert.equal(await visit(), 'opened', 'n');
});

test('a trust domain is looked at first: a foreign database is named as such', async (context) => {
  const { path, visit } = await place(context);
  await visit();
  const trustDomain = unwrap(parseTrustDomain('other.org'));
  const opened = await openSqliteStore({ path, trustDomain });
  assert.equal(opened.ok ? 'opened' : opened.error.code, 'STORE_FOREIGN');
});
