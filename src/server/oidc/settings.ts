import { z } from 'zod';
import { socketPathSetting } from '../../rpc/socket-setting.ts';
import { absolutePathSetting, hostSetting } from '../../runtime/config.ts';
import { durationSetting } from '../../runtime/units.ts';

/** The `oidc` section of `server.yaml`. */
export const oidcSchema = z
  .strictObject({
    address: hostSetting
      .default('127.0.0.1')
      .describe('Address that discovery is served on; without TLS a loopback one.'),
    port: z.int().min(0).max(65_535).optional().describe('0 chooses a free one.'),
    socketPath: socketPathSetting
      .optional()
      .describe('Unix socket, in place of address and port, for a proxy on this machine.'),
    certificatePath: absolutePathSetting
      .optional()
      .describe('Certificates for HTTPS in PEM, leaf first; read again when they change.'),
    keyPath: absolutePathSetting.optional().describe('The key of the leaf, in PEM.'),
    ownCertificate: z
      .boolean()
      .default(false)
      .describe(
        "HTTPS with the server's own SVID, for who trusts this trust domain; listen.dnsNames are its names.",
      ),
    jwksUri: z
      .string()
      .max(1024)
      .refine((text) => issuerProblem(text) === undefined, { message: 'must be an https URL' })
      .optional()
      .describe('Where the keys are, if not at /keys below jwt.issuer.'),
    cacheFor: durationSetting({ max: '24h' })
      .prefault('5m')
      .describe('How long others may keep what they read.'),
  })
  .optional()
  .describe('OpenID Connect discovery of the JWT keys (docs/oidc-discovery.md); off unless set.');

/** What `oidc` says. */
export type OidcSettings = NonNullable<z.output<typeof oidcSchema>>;

/** One thing wrong with `oidc` that its own schema does not see. */
export interface OidcFault {
  readonly path: readonly string[];
  readonly message: string;
}

/** What is wrong with `oidc`, by itself and beside `jwt.issuer`. */
export function oidcFaults({
  oidc,
  jwt,
}: {
  readonly oidc?: OidcSettings | undefined;
  readonly jwt: { readonly issuer?: string | undefined };
}): readonly OidcFault[] {
  if (oidc === undefined) return [];
  const faults: OidcFault[] = [];
  const fault = (setting: string, message: string): void => {
    faults.push({ path: setting.split('.'), message });
  };
  const { port, socketPath, certificatePath, keyPath, ownCertificate, address } = oidc;
  const problem = jwt.issuer === undefined ? 'is needed' : issuerProblem(jwt.issuer);
  if (problem !== undefined) fault('jwt.issuer', `${problem}: oidc serves its discovery`);
  if ((port === undefined) === (socketPath === undefined)) {
    fault('oidc.port', 'is needed, or else socketPath: one of the two');
  }
  if ((certificatePath === undefined) !== (keyPath === undefined)) {
    fault('oidc.keyPath', 'and certificatePath go together');
  }
  if (ownCertificate && certificatePath !== undefined) {
    fault('oidc.ownCertificate', 'is not for use beside certificatePath');
  }
  const isPlain = certificatePath === undefined && !ownCertificate;
  if (isPlain && socketPath === undefined && !isLoopback(address)) {
    fault('oidc.address', 'must be a loopback address without certificatePath or ownCertificate');
  }
  return faults;
}

/** Why a URL cannot be that of an issuer (OpenID Connect Discovery 1.0 §3); undefined where it can. */
export function issuerProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') return 'must be an https URL';
  if (url.username !== '' || url.password !== '') return 'must not have a user';
  if (text.includes('?') || text.includes('#')) return 'must have neither a query nor a fragment';
  if (text.endsWith('/')) return 'must not end in a slash';
  // Verifiers compare it letter by letter with what tokens say.
  const plain = url.pathname === '/' ? url.origin : url.href;
  return plain === text ? undefined : `must be written ${plain}`;
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}
