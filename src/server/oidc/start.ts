import { ok, type Result } from '../../base/result.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import type { TlsIdentity } from '../../tls/identity.ts';
import { identityOptions } from '../../tls/secure-context.ts';
import type { ServerBase } from '../server.ts';
import type { ServerIdentity } from '../server-identity.ts';
import { type OidcDocument, type OidcPlace, oidcDocuments } from './documents.ts';
import { type PemIdentity, readPemIdentity } from './identity.ts';
import { listenOidc } from './listener.ts';
import { answerOidc } from './pages.ts';
import type { OidcSettings } from './settings.ts';

/** How often certificate files are looked at, in milliseconds. */
const LOOK_MS = 60_000;

/** Discovery that is served. */
export interface RunningOidc {
  /** Undefined on a Unix socket. */
  readonly port: number | undefined;
  /** Reads the certificate's files again. */
  reload(): Promise<void>;
}

/** What discovery is about. */
export interface OidcParts {
  readonly registry: Pick<Registry, 'bundle'>;
  readonly identity: Pick<ServerIdentity, 'current'>;
}

/**
 * Serves OpenID Connect discovery where configuration says so: the keys of the bundle, from memory, so
 * that each is there from the moment that it is prepared. Fails with OIDC_CERTIFICATE, LISTEN_FAILED and
 * what socket paths fail with.
 */
export async function startOidc(
  base: ServerBase,
  { registry, identity }: OidcParts,
): Promise<Result<RunningOidc | undefined>> {
  const { config, metrics, life } = base;
  const { oidc: settings } = config;
  const { issuer } = config.jwt;
  // Configuration was checked: where the one is, the other is.
  if (settings === undefined || issuer === undefined) return ok(undefined);
  const shown = await certificateOf(base, settings, identity);
  if (!shown.ok) return shown;
  const answers = metrics.counter('oidc_requests_total', 'Requests for discovery, by status.', [
    'status',
  ]);
  const pages = {
    documents: documentsOf(registry, { issuer, jwksUri: settings.jwksUri }),
    cacheSeconds: settings.cacheFor,
    answered: (status: number) => answers.inc({ status }),
  };
  const { address, port = 0, socketPath } = settings;
  const listener = await listenOidc({
    address,
    port,
    socketPath,
    identity: shown.value.identity,
    answer: (request, response) => answerOidc(request, response, pages),
  });
  if (!listener.ok) return listener;
  life.add('OIDC discovery', () => listener.value.close());
  return ok({ port: listener.value.port, reload: shown.value.reload });
}

/** The documents, made once for each bundle. */
function documentsOf(
  registry: Pick<Registry, 'bundle'>,
  place: OidcPlace,
): () => ReadonlyMap<string, OidcDocument> | undefined {
  let of: Bundle | undefined;
  let made: ReadonlyMap<string, OidcDocument> | undefined;
  return () => {
    const { bundle } = registry;
    if (bundle === undefined || bundle.jwtAuthorities.length === 0) return undefined;
    if (bundle !== of) {
      const documents = oidcDocuments(bundle, place);
      // Rather what was right a moment ago than nothing.
      if (documents.ok) made = documents.value;
      of = bundle;
    }
    return made;
  };
}

interface Shown {
  readonly identity: (() => PemIdentity) | undefined;
  readonly reload: () => Promise<void>;
}

async function certificateOf(
  base: ServerBase,
  { certificatePath, keyPath, ownCertificate }: OidcSettings,
  own: Pick<ServerIdentity, 'current'>,
): Promise<Result<Shown>> {
  if (ownCertificate) return ok({ identity: ownIdentity(own), reload: async () => {} });
  if (certificatePath === undefined || keyPath === undefined) {
    return ok({ identity: undefined, reload: async () => {} });
  }
  const first = await readPemIdentity(certificatePath, keyPath);
  if (!first.ok) return first;
  let current = first.value;
  const { clock, life, log } = base;
  const reload = async (): Promise<void> => {
    const next = await readPemIdentity(certificatePath, keyPath);
    if (next.ok) {
      if (next.value.cert !== current.cert || next.value.key !== current.key) current = next.value;
      return;
    }
    const { code, message: reason, action } = next.error;
    log.error({ code, reason, action }, 'OIDC discovery keeps its certificate');
  };
  let isStopped = false;
  let cancel = clock.after(LOOK_MS, look);
  function look(): void {
    void reload().finally(() => {
      if (!isStopped) cancel = clock.after(LOOK_MS, look);
    });
  }
  life.add('certificate of OIDC discovery', () => {
    isStopped = true;
    cancel();
  });
  return ok({ identity: () => current, reload });
}

function ownIdentity(own: Pick<ServerIdentity, 'current'>): () => PemIdentity {
  let of: TlsIdentity | undefined;
  let made: PemIdentity = { cert: '', key: '' };
  return () => {
    if (own.current === of) return made;
    of = own.current;
    const { cert, key } = identityOptions(of);
    made = { cert: String(cert), key: String(key) };
    return made;
  };
}
