import type { AuthorityActs, AuthorityView } from '../authority/authority.ts';
import type { AuthorityKind } from '../authority/journal.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type {
  AuthorityState,
  GetJWTAuthorityStateResponse,
  LocalAuthorityService,
} from '../gen/spire/api/server/localauthority/v1/localauthority.ts';
import type { CallContext, Handlers } from '../rpc/service.ts';
import { type ApiContext, audit, noteAct } from './context.ts';
import { endIssuingCa, type IssuingCaContext, listIssuingCas } from './issuing-cas.ts';

/** What the service stands on. */
export type LocalAuthorityContext = Pick<ApiContext, 'log' | 'recordAct' | 'registry' | 'clock'> &
  Pick<IssuingCaContext, 'issuingCa'> & { readonly authority: AuthorityActs };

/** `spire.api.server.localauthority.v1.LocalAuthority`: the life of authorities, by hand. */
export function createLocalAuthorityService(
  api: LocalAuthorityContext,
): Handlers<LocalAuthorityService> {
  const x509 = actsOn(api, 'x509');
  const jwt = actsOn(api, 'jwt');
  return {
    getX509AuthorityState: () => {
      const state = stateOf(api.authority, 'x509');
      return state.ok ? ok({ ...state.value, issuing: listIssuingCas(api) }) : state;
    },
    prepareX509Authority: async (_, context) =>
      answer(await x509.prepare(context), (preparedAuthority) => ({ preparedAuthority })),
    activateX509Authority: async (request, context) =>
      answer(await x509.activate(request, context), (activatedAuthority) => ({
        activatedAuthority,
      })),
    taintX509Authority: async ({ authorityId }, context) =>
      answer(await x509.end('taint', authorityId, context), (taintedAuthority) => ({
        taintedAuthority,
      })),
    revokeX509Authority: async ({ authorityId }, context) =>
      answer(await x509.end('revoke', authorityId, context), (revokedAuthority) => ({
        revokedAuthority,
      })),

    getJwtAuthorityState: () => stateOf(api.authority, 'jwt'),
    prepareJwtAuthority: async (_, context) =>
      answer(await jwt.prepare(context), (preparedAuthority) => ({ preparedAuthority })),
    activateJwtAuthority: async (request, context) =>
      answer(await jwt.activate(request, context), (activatedAuthority) => ({
        activatedAuthority,
      })),
    taintJwtAuthority: async ({ authorityId }, context) =>
      answer(await jwt.end('taint', authorityId, context), (taintedAuthority) => ({
        taintedAuthority,
      })),
    revokeJwtAuthority: async ({ authorityId }, context) =>
      answer(await jwt.end('revoke', authorityId, context), (revokedAuthority) => ({
        revokedAuthority,
      })),

    getWitAuthorityState: noWit,
    prepareWitAuthority: noWit,
    activateWitAuthority: noWit,
    taintWitAuthority: noWit,
    revokeWitAuthority: noWit,
    taintX509UpstreamAuthority: ({ subjectKeyId }, context) =>
      endUpstream(api, 'taint', subjectKeyId, context),
    revokeX509UpstreamAuthority: ({ subjectKeyId }, context) =>
      endUpstream(api, 'revoke', subjectKeyId, context),
  };
}

/**
 * The three authorities that SPIRE shows. Prepared is ours once it is published; what is tainted still
 * counts as old, as the bundle says that it is tainted.
 */
function stateOf(
  authority: AuthorityActs,
  kind: AuthorityKind,
): Result<GetJWTAuthorityStateResponse> {
  const all = authority.list(kind);
  const last = (...states: readonly AuthorityView['state'][]): AuthorityState | undefined => {
    const view = all.findLast(({ state }) => states.includes(state));
    return view === undefined ? undefined : wireState(view, view.expiresAtSeconds);
  };
  const active = last('active');
  if (active === undefined) return fail('AUTHORITY_NOT_READY', `no ${kind} authority yet`);
  return ok({ active, prepared: last('published'), old: last('old', 'tainted') });
}

/** The acts on authorities of one kind, written down as they are done. */
function actsOn(api: LocalAuthorityContext, kind: AuthorityKind) {
  return {
    async prepare(context: CallContext): Promise<Result<AuthorityState>> {
      const made = await api.authority.prepare(kind);
      if (!made.ok) return made;
      audit(api, context, { authorityId: made.value.authorityId });
      return ok(wireState(made.value, made.value.expiresAtSeconds));
    },
    async activate(
      { authorityId, force }: { readonly authorityId: string; readonly force: boolean },
      context: CallContext,
    ): Promise<Result<AuthorityState>> {
      if (authorityId === '') return noId();
      const activated = await api.authority.activate(kind, authorityId, { force });
      if (!activated.ok) return activated;
      audit(api, context, { authorityId, force });
      return ok(wireState(activated.value, activated.value.expiresAtSeconds));
    },
    async end(
      act: 'taint' | 'revoke',
      authorityId: string,
      context: CallContext,
    ): Promise<Result<AuthorityState>> {
      if (authorityId === '') return noId();
      // By the roots' own rules where it is none: what is not known is refused there.
      const issuing = kind === 'x509' ? api.registry.issuingCa(authorityId) : undefined;
      const ended = await (issuing === undefined
        ? api.authority[act](kind, authorityId)
        : endIssuingCa(api, act, issuing));
      if (!ended.ok) return ended;
      audit(api, context, { authorityId });
      await noteAct(api, context, { act, authorityId });
      // The bundle that agents are told is the registry's: it has the change when this answers. A
      // view that cannot follow says so by its staleness.
      await api.registry.catchUp();
      return ok(wireState(ended.value, 0));
    },
  };
}

/** Ends a root of the upstream, written down as it is done. */
async function endUpstream(
  api: LocalAuthorityContext,
  act: 'taint' | 'revoke',
  subjectKeyId: string,
  context: CallContext,
): Promise<Result<{ readonly upstreamAuthoritySubjectKeyId: string }>> {
  if (subjectKeyId === '') return fail('FIELD_MISSING', 'subject_key_id is required');
  const ended = await api.authority.endUpstreamRoot(act, subjectKeyId);
  if (!ended.ok) return ended;
  audit(api, context, { subjectKeyId: ended.value });
  await noteAct(api, context, { act, authorityId: ended.value });
  await api.registry.catchUp();
  return ok({ upstreamAuthoritySubjectKeyId: ended.value });
}

function wireState(
  { authorityId, upstreamKeyId = '' }: Pick<AuthorityView, 'authorityId' | 'upstreamKeyId'>,
  expiresAtSeconds: number,
): AuthorityState {
  return {
    authorityId,
    expiresAt: BigInt(expiresAtSeconds),
    upstreamAuthoritySubjectKeyId: upstreamKeyId,
  };
}

function answer<T>(done: Result<AuthorityState>, wrap: (state: AuthorityState) => T): Result<T> {
  return done.ok ? ok(wrap(done.value)) : done;
}

function noId(): Result<never> {
  return fail('FIELD_MISSING', 'authority_id is required');
}

function noWit(): Result<never> {
  return fail('AUTHORITY_NO_WIT', 'there are no authorities for WIT-SVIDs');
}
