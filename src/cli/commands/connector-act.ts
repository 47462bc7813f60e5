import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import {
  ALL_OF,
  actOnConnectors,
  askConnectors,
  commandConnectors,
  reportOutcomes,
  selectedConnectors,
  WHICH,
} from '../connector-acts.ts';
import { type ConnectorCall, listConnectors, withConnectors } from '../connector-calls.ts';
import { type Drained, waitForDrain } from '../connector-drain.ts';
import { flagError, timeFlag, wholeSecondsFlag } from '../flags.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { counted, safe } from '../text.ts';

const REASON: FlagSpec = {
  name: 'reason',
  value: 'text',
  help: 'why, for the audit and the connector',
};

const DEFAULT_DRAIN_SECONDS = 300;

/** `signet connector drain`. */
export const connectorDrain: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'They take no new flows, and leave when their last one has ended, at the deadline at the latest. With --wait the command ends when all have left.',
  flags: [
    ALL_OF,
    {
      name: 'within',
      value: 'duration',
      help: 'how long they may take; 5m unless told, at most 24h',
    },
    { name: 'wait', help: 'wait until they have left' },
    REASON,
  ],
  examples: [
    'signet connector drain db-7d4f --wait',
    'signet connector drain --group db --within 10m --reason "node maintenance"',
  ],
  run: async (input, io) => {
    const which = selectedConnectors(input);
    if (!which.ok) return which;
    const within = wholeSecondsFlag(input, 'within');
    if (!within.ok) return within;
    if (within.value === 0) return flagError('within', 'must be at least 1s');
    const withinSeconds = within.value ?? DEFAULT_DRAIN_SECONDS;
    const reason = input.text('reason') ?? '';
    const request = { which: which.value, withinSeconds, reason };
    return withConnectors(input, io, async (call, server) => {
      const answer = await askConnectors(call, 'draining', (client) => (m, o, done) => {
        return client.drainConnectors(request, m, o, done);
      });
      if (!answer.ok) return answer;
      const told = reportOutcomes(answer.value, 'Draining', input, io);
      if (!input.has('wait') || !told.ok) return told;
      const ids = new Set(answer.value.outcomes.map(({ id }) => id));
      const drained: Drained = { ids, withinSeconds, group: which.value.group };
      return waitForDrain(server, io, drained);
    });
  },
};

/** `signet connector resume`. */
export const connectorResume: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'For those that were drained and have not left yet: they take new flows from now on, and the deadline is off. One without a session is told when it has one. A connector that has left comes back by enrolling.',
  flags: [ALL_OF],
  examples: ['signet connector resume db-7d4f', 'signet connector resume --group db'],
  run: (input, io) =>
    actOnConnectors(
      'resuming',
      'Resumed',
      input,
      io,
      (which) => (client) => (m, o, done) => client.resumeConnectors(which, m, o, done),
    ),
};

/** `signet connector revoke`. */
export const connectorRevoke: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'Their certificates are revoked, their sessions and flows end at once. To come back they have to be deleted here, and enrol anew.',
  flags: [
    ALL_OF,
    { ...REASON, required: true, help: 'why, for the audit' },
    { name: 'yes', short: 'y', help: 'revoke a whole group without asking' },
  ],
  examples: [
    'signet connector revoke db-7d4f --reason "node lost, ticket 4711"',
    'signet connector revoke --group db --yes --reason "key leaked"',
  ],
  run: async (input, io) => {
    const reason = (input.text('reason') ?? '').trim();
    if (reason === '') return flagError('reason', 'is empty');
    const which = selectedConnectors(input);
    if (!which.ok) return which;
    return withConnectors(input, io, async (call) => {
      const sure = await confirm(call, which.value.group, input, io);
      if (!sure.ok) return sure;
      const answer = await askConnectors(call, 'revoking', (client) => (m, o, done) => {
        return client.revokeConnectors({ which: which.value, reason }, m, o, done);
      });
      return answer.ok ? reportOutcomes(answer.value, 'Revoked', input, io) : answer;
    });
  },
};

/** `signet connector delete`. */
export const connectorDelete: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'Those that stopped, expired or were revoked, before the server forgets them by itself. One that was revoked may enrol again then.',
  flags: [ALL_OF],
  examples: ['signet connector delete db-7d4f', 'signet connector delete --group db'],
  run: (input, io) =>
    actOnConnectors(
      'deleting',
      'Forgot',
      input,
      io,
      (which) => (client) => (m, o, done) => client.deleteConnectors(which, m, o, done),
    ),
};

/** `signet connector upgrade`. */
export const connectorUpgrade: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    "In the next update window of their group, unless told when. The window is divided so that no more than the group's --max-unavailable are out at once. The connector, or the hook of its companion, does the upgrade.",
  flags: [
    ALL_OF,
    { name: 'to', value: 'version', help: 'the version' },
    { name: 'image-digest', value: 'digest', help: 'of the image: sha256:…' },
    { name: 'not-before', value: 'time', help: 'begin: Unix seconds or 2030-01-31T12:00:00Z' },
    { name: 'not-after', value: 'time', help: 'end' },
  ],
  examples: [
    'signet connector upgrade --group db --to 2.4.1',
    'signet connector upgrade db-7d4f --to 2.4.1 \\\n      --not-before 2030-01-31T02:00:00Z --not-after 2030-01-31T03:00:00Z',
  ],
  run: async (input, io) => {
    const begin = timeFlag(input, 'not-before');
    if (!begin.ok) return begin;
    const end = timeFlag(input, 'not-after');
    if (!end.ok) return end;
    if ((begin.value === undefined) !== (end.value === undefined)) {
      return fail('CLI_USAGE', 'takes --not-before and --not-after together');
    }
    const version = input.text('to') ?? '';
    const imageDigest = input.text('image-digest') ?? '';
    if (version === '' && imageDigest === '')
      return fail('CLI_USAGE', 'needs --to, or --image-digest');
    const value = {
      version,
      imageDigest,
      notBeforeMs: (begin.value ?? 0n) * 1000n,
      notAfterMs: (end.value ?? 0n) * 1000n,
    };
    return commandConnectors({ $case: 'upgrade', value }, 'Sent the upgrade to', input, io);
  },
};

/** `signet connector renew`. */
export const connectorRenew: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'They do so by themselves at half of the life of a certificate. For a key that may have been seen, or before an authority is taken away; flows go on. The old certificates stay good until they end: revoke where they must not. Only those with a session at this server are told.',
  flags: [ALL_OF, REASON],
  examples: [
    'signet connector renew db-7d4f',
    'signet connector renew --group db --reason "key rotation"',
  ],
  run: (input, io) =>
    commandConnectors(
      { $case: 'renewNow', value: { reason: input.text('reason') ?? '' } },
      'Asked for a new certificate of',
      input,
      io,
    ),
};

/** `signet connector re-enrol`. */
export const connectorReEnrol: CommandSpec = {
  connects: 'server',
  prints: true,
  args: WHICH,
  about:
    'They end their sessions and enrol again with new keys, by the proofs of their group: after its proofs or zones were changed, or to see that a connector would get in still. One that cannot prove it any more stays out once its certificate ends. A provisioning key has to have uses left.',
  flags: [ALL_OF, REASON],
  examples: [
    'signet connector re-enrol db-7d4f --reason "moved to another node"',
    'signet connector re-enrol --group db --reason "proofs changed"',
  ],
  run: (input, io) =>
    commandConnectors(
      { $case: 'reEnrol', value: { reason: input.text('reason') ?? '' } },
      'Asked for another enrolment of',
      input,
      io,
    ),
};

/** Asks before a whole group is shut out. */
async function confirm(
  call: ConnectorCall,
  group: string,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  if (group === '' || input.has('yes')) return ok(undefined);
  const listed = await listConnectors(call, { group, states: [] });
  if (!listed.ok) return listed;
  const count = listed.value.filter(({ state }) => state !== 'revoked').length;
  const what = `${counted(count, 'connector', 'connectors')} of group ${safe(group)}`;
  const answer = await io.ask(`Revoke ${what} for good? [yes/no] `);
  if (answer?.trim().toLowerCase() === 'yes') return ok(undefined);
  return unconfirmed(what);
}

function unconfirmed(what: string): Failed {
  return fail('CONNECTOR_UNCONFIRMED', `nobody said yes: not revoked, ${what}`);
}
