import { utf8 } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import { ok, type Result } from '../../base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../../runtime/atomic-file.ts';
import { type SpiffeId, spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { DevAdmin } from './admin.ts';
import type { DevLayout } from './layout.ts';

/** An SVID with less life left than this may end before the agent could renew it, in seconds. */
const LEAST_LIFE_SECONDS = 3;

/**
 * Lets the agent join: answers its ID. Where its SVID still lives the agent goes on with it. Where it
 * lapsed the agent attests with a new token under a new ID, and the entries under the old ID move
 * with it.
 */
export async function prepareJoin(
  layout: DevLayout,
  admin: DevAdmin,
  clock: Clock,
): Promise<Result<SpiffeId>> {
  const known = await readToken(layout);
  if (!known.ok) return known;
  if (known.value === '') return mintToken(layout, admin);
  const former = agentIdOf(layout, known.value);
  if (!former.ok) return former;
  const lives = await isAlive(admin, former.value, clock);
  if (!lives.ok) return lives;
  if (lives.value) return former;
  const id = await mintToken(layout, admin);
  if (!id.ok) return id;
  const moved = await admin.moveEntries(former.value, id.value);
  if (!moved.ok) return moved;
  // It would be listed for ever. That it may be unknown already does not matter.
  await admin.evict(former.value);
  return id;
}

async function mintToken(layout: DevLayout, admin: DevAdmin): Promise<Result<SpiffeId>> {
  const token = await admin.createToken();
  if (!token.ok) return token;
  const { value } = token.value;
  const written = await writeFileAtomic(layout.joinToken, utf8(value), { mode: 0o600 });
  return written.ok ? agentIdOf(layout, value) : written;
}

async function readToken(layout: DevLayout): Promise<Result<string>> {
  const bytes = await readFileIfPresent(layout.joinToken, 1024);
  if (!bytes.ok) return bytes;
  return ok(
    Buffer.from(bytes.value ?? [])
      .toString('utf8')
      .trim(),
  );
}

async function isAlive(admin: DevAdmin, id: SpiffeId, clock: Clock): Promise<Result<boolean>> {
  const agent = await admin.agent(id);
  if (!agent.ok) return agent;
  if (agent.value === undefined || agent.value.banned) return ok(false);
  const leftSeconds = Number(agent.value.x509svidExpiresAt) - clock.nowMs() / 1000;
  return ok(leftSeconds > LEAST_LIFE_SECONDS);
}

function agentIdOf(layout: DevLayout, token: string): Result<SpiffeId> {
  return spiffeIdFromPath(layout.trustDomain, `/spire/agent/join_token/${token}`);
}
