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
 * lapsed the same token is made again, so that the agent keeps its ID and the entries under it.
 */
export async function prepareJoin(
  layout: DevLayout,
  admin: DevAdmin,
  clock: Clock,
): Promise<Result<SpiffeId>> {
  const known = await readToken(layout);
  if (!known.ok) return known;
  if (known.value !== '') {
    const id = agentIdOf(layout, known.value);
    const lives = id.ok ? await isAlive(admin, id.value, clock) : id;
    if (!lives.ok || lives.value) return lives.ok ? id : lives;
    if (id.ok) await admin.evict(id.value);
  }
  return mintToken(layout, admin, known.value);
}

async function mintToken(
  layout: DevLayout,
  admin: DevAdmin,
  wanted: string,
): Promise<Result<SpiffeId>> {
  const again = await admin.createToken(wanted);
  // The server may refuse the old text (used moments ago): then a new one, and a new agent ID.
  const token = again.ok || wanted === '' ? again : await admin.createToken('');
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
