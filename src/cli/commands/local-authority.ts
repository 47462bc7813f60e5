import { toHex } from '../../base/bytes.ts';
import { ok, type Result } from '../../base/result.ts';
import {
  ActivateX509AuthorityResponse,
  type AuthorityState,
  GetJWTAuthorityStateResponse,
  GetX509AuthorityStateResponse,
  type IssuingCA,
  LocalAuthorityClient,
  PrepareX509AuthorityResponse,
  RevokeX509AuthorityResponse,
  TaintX509AuthorityResponse,
} from '../../gen/spire/api/server/localauthority/v1/localauthority.ts';
import type { Bundle as WireBundle } from '../../gen/spire/api/types/bundle.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import type { UnaryCall } from '../remote.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { cut, formatTable, formatTime, safe, safeJson, span } from '../text.ts';
import { getBundle } from './bundle-show.ts';

type Kind = 'x509' | 'jwt';

/** Names of the RPCs of each kind; requests and answers of both kinds are alike. */
const METHODS = {
  x509: {
    prepare: 'prepareX509Authority',
    activate: 'activateX509Authority',
    taint: 'taintX509Authority',
    revoke: 'revokeX509Authority',
  },
  jwt: {
    prepare: 'prepareJwtAuthority',
    activate: 'activateJwtAuthority',
    taint: 'taintJwtAuthority',
    revoke: 'revokeJwtAuthority',
  },
} as const;

const TITLES: Readonly<Record<Kind, string>> = { x509: 'X.509', jwt: 'JWT' };

const AUTHORITY_FLAG: FlagSpec = {
  name: 'authority-id',
  spire: 'authorityID',
  value: 'id',
  required: true,
  help: 'the authority, as show prints it',
};

const FORCE_FLAG: FlagSpec = {
  name: 'force',
  help: 'wait for no agent to have the new bundle; for when the key in use was stolen',
};

const REFUSED = { instance: 'name the socket with --server-socket' };

/** `signet localauthority x509|jwt show|prepare|activate|taint|revoke`. */
export const localAuthority = { x509: commandsOf('x509'), jwt: commandsOf('jwt') };

function commandsOf(kind: Kind) {
  return {
    show: show(kind),
    prepare: prepare(kind),
    activate: activate(kind),
    taint: taint(kind),
    revoke: revoke(kind),
  };
}

function show(kind: Kind): CommandSpec {
  return {
    connects: 'server',
    prints: true,
    flags: [],
    refused: REFUSED,
    examples: [`signet localauthority ${kind} show`],
    run: (input, io) =>
      withServer(input, io, async (server) => {
        const client = server.client(LocalAuthorityClient);
        const doing = `reading the ${TITLES[kind]} authorities`;
        const state: Result<Shown> = await (kind === 'x509'
          ? server.call<GetX509AuthorityStateResponse>(doing, (m, o, done) =>
              client.getX509AuthorityState({}, m, o, done),
            )
          : server.call<GetJWTAuthorityStateResponse>(doing, (m, o, done) =>
              client.getJwtAuthorityState({}, m, o, done),
            ));
        if (!state.ok) return state;
        const { active, prepared, old, issuing = [] } = state.value;
        if (input.text('output') === 'json') {
          const encode =
            kind === 'x509' ? GetX509AuthorityStateResponse : GetJWTAuthorityStateResponse;
          const shown = { active, prepared, old, issuing };
          io.out(`${safeJson(encode.toJSON(shown))}\n`);
          return ok(undefined);
        }
        const bundle = await getBundle(server);
        if (!bundle.ok) return bundle;
        io.out(formatStates(kind, state.value, bundle.value, io));
        if (issuing.length > 0) io.out(`\n${formatIssuingCas(issuing, io)}`);
        return ok(undefined);
      }),
  };
}

function prepare(kind: Kind): CommandSpec {
  return {
    connects: 'server',
    prints: true,
    about:
      'It is in the trust bundle from then on, and signs nothing yet. One that was prepared before and has not signed is dropped for it.',
    flags: [],
    refused: REFUSED,
    examples: [`signet localauthority ${kind} prepare`],
    run: (input, io) =>
      withServer(input, io, async (server) => {
        const client = server.client(LocalAuthorityClient);
        const method = METHODS[kind].prepare;
        return finish<PrepareX509AuthorityResponse>(server, input, io, {
          doing: `preparing the ${TITLES[kind]} authority`,
          done: `Prepared ${TITLES[kind]} authority`,
          call: (m, o, done) => client[method]({}, m, o, done),
          encode: PrepareX509AuthorityResponse.toJSON,
          stateOf: (answer) => answer.preparedAuthority,
        });
      }),
  };
}

function activate(kind: Kind): CommandSpec {
  return {
    connects: 'server',
    prints: true,
    about:
      'Waits until agents have the bundle with it, and is refused where some do not: what it signs would be refused by workloads on their nodes.',
    flags: [AUTHORITY_FLAG, FORCE_FLAG],
    refused: REFUSED,
    examples: [`signet localauthority ${kind} activate --authority-id ID`],
    run: (input, io) =>
      withServer(input, io, async (server) => {
        const client = server.client(LocalAuthorityClient);
        const method = METHODS[kind].activate;
        const request = { authorityId: authorityId(input), force: input.has('force') };
        return finish<ActivateX509AuthorityResponse>(server, input, io, {
          doing: `activating the ${TITLES[kind]} authority`,
          done: `Activated ${TITLES[kind]} authority`,
          call: (m, o, done) => client[method](request, m, o, done),
          encode: ActivateX509AuthorityResponse.toJSON,
          stateOf: (answer) => answer.activatedAuthority,
        });
      }),
  };
}

function taint(kind: Kind): CommandSpec {
  return {
    connects: 'server',
    prints: true,
    about:
      'Agents renew at once what it signed. An authority must sign no more before it can be tainted; an issuing CA is replaced by its server. Revoke it when they have.',
    flags: [AUTHORITY_FLAG],
    refused: REFUSED,
    examples: [`signet localauthority ${kind} taint --authority-id ID`],
    run: (input, io) =>
      withServer(input, io, async (server) => {
        const client = server.client(LocalAuthorityClient);
        const method = METHODS[kind].taint;
        const request = { authorityId: authorityId(input) };
        return finish<TaintX509AuthorityResponse>(server, input, io, {
          doing: `tainting the ${TITLES[kind]} authority`,
          done: `Tainted ${TITLES[kind]} authority`,
          call: (m, o, done) => client[method](request, m, o, done),
          encode: TaintX509AuthorityResponse.toJSON,
          stateOf: (answer) => answer.taintedAuthority,
        });
      }),
  };
}

function revoke(kind: Kind): CommandSpec {
  return {
    connects: 'server',
    prints: true,
    about:
      'It leaves the trust bundle, and its key is given up: whatever it signed is refused from then on. An issuing CA is in no bundle: it goes onto the CRL, and servers refuse what it signed. Only what is tainted can be revoked.',
    flags: [AUTHORITY_FLAG],
    refused: REFUSED,
    examples: [`signet localauthority ${kind} revoke --authority-id ID`],
    run: (input, io) =>
      withServer(input, io, async (server) => {
        const client = server.client(LocalAuthorityClient);
        const method = METHODS[kind].revoke;
        const request = { authorityId: authorityId(input) };
        return finish<RevokeX509AuthorityResponse>(server, input, io, {
          doing: `revoking the ${TITLES[kind]} authority`,
          done: `Revoked ${TITLES[kind]} authority`,
          call: (m, o, done) => client[method](request, m, o, done),
          encode: RevokeX509AuthorityResponse.toJSON,
          stateOf: (answer) => answer.revokedAuthority,
        });
      }),
  };
}

/** What show answers of either kind. */
type Shown = GetJWTAuthorityStateResponse & { readonly issuing?: IssuingCA[] };

interface Act<Res> {
  readonly doing: string;
  readonly done: string;
  readonly call: UnaryCall<Res>;
  readonly encode: (answer: Res) => unknown;
  readonly stateOf: (answer: Res) => AuthorityState | undefined;
}

/** Calls, and prints the authority that the answer holds. */
async function finish<Res>(
  server: ServerConnection,
  input: Input,
  io: CliIo,
  { doing, done, call, encode, stateOf }: Act<Res>,
): Promise<Result<void>> {
  const answer = await server.call<Res>(doing, call);
  if (!answer.ok) return answer;
  if (input.text('output') === 'json') {
    io.out(`${safeJson(encode(answer.value))}\n`);
    return ok(undefined);
  }
  const state = stateOf(answer.value);
  const ends = Number(state?.expiresAt ?? 0n);
  const until = ends === 0 ? '' : `, expires ${formatTime(ends, io.clock.nowMs())}`;
  io.out(`${done} ${safe(state?.authorityId ?? '')}${until}\n`);
  return ok(undefined);
}

function authorityId(input: Input): string {
  return input.text('authority-id') ?? '';
}

/** Longest name of a server that leaves room for the ID on a line of 80. */
const SERVER_WIDTH = 16;

function formatIssuingCas(issuing: readonly IssuingCA[], io: CliIo): string {
  const rows = issuing.map(({ state, expiresAt, server, authorityId }) => [
    state,
    span(Math.max(0, Number(expiresAt) - io.clock.nowMs() / 1000)),
    cut(server, SERVER_WIDTH),
    authorityId,
  ]);
  return formatTable(['STATE', 'ENDS IN', 'SERVER', 'ISSUING CA ID'], rows);
}

/** Every authority of the kind that the server names or its bundle holds. */
function formatStates(
  kind: Kind,
  { active, prepared, old }: GetJWTAuthorityStateResponse,
  bundle: WireBundle,
  io: CliIo,
): string {
  const inBundle = bundleAuthorities(kind, bundle);
  const isTainted = (id: string): boolean =>
    inBundle.some((each) => each.id === id && each.tainted);
  const named = [
    ...stateRow('active', active),
    ...stateRow('prepared', prepared),
    ...stateRow(isTainted(old?.authorityId ?? '') ? 'tainted' : 'old', old),
  ];
  const others = inBundle
    .filter(({ id }) => !named.some((row) => row.id === id))
    .map((each) => ({ ...each, state: each.tainted ? 'tainted' : 'trusted' }));
  const rows = [...named, ...others].map(({ state, ends, id }) => [
    state,
    formatTime(ends, io.clock.nowMs()),
    id,
  ]);
  return formatTable(['STATE', 'EXPIRES', 'AUTHORITY ID'], rows);
}

interface Row {
  readonly id: string;
  /** Unix seconds. */
  readonly ends: number;
}

function stateRow(
  state: string,
  authority: AuthorityState | undefined,
): readonly (Row & { readonly state: string })[] {
  if (authority === undefined) return [];
  return [{ state, id: authority.authorityId, ends: Number(authority.expiresAt) }];
}

function bundleAuthorities(
  kind: Kind,
  bundle: WireBundle,
): readonly (Row & { readonly tainted: boolean })[] {
  if (kind === 'jwt') {
    return bundle.jwtAuthorities.map(({ keyId, expiresAt, tainted }) => ({
      id: keyId,
      ends: Number(expiresAt),
      tainted,
    }));
  }
  return bundle.x509Authorities.flatMap(({ asn1, tainted }) => {
    const certificate = parseCertificate(asn1);
    if (!certificate.ok || certificate.value.subjectKeyId === undefined) return [];
    const { subjectKeyId, notAfterMs } = certificate.value;
    return [{ id: toHex(subjectKeyId), ends: notAfterMs / 1000, tainted }];
  });
}
