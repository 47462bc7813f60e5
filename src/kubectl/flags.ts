import { ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { FlagSpec, Input } from '../cli/spec.ts';
import type { KubeOverrides } from '../kube/place.ts';
import { parseDuration } from '../runtime/units.ts';

/** Flags of kubectl that say which cluster, and as whom. */
export const CONNECTION_FLAGS: readonly FlagSpec[] = [
  { name: 'kubeconfig', value: 'path', help: 'kubeconfig in place of KUBECONFIG' },
  { name: 'context', value: 'name', repeat: true, help: 'context of the kubeconfig' },
  { name: 'cluster', value: 'name', help: 'cluster of the kubeconfig, not that of the context' },
  { name: 'user', value: 'name', help: 'user of the kubeconfig, not that of the context' },
  { name: 'as', value: 'user', help: 'act as this user' },
  { name: 'as-group', value: 'group', repeat: true, help: 'act as a member of this group' },
  { name: 'as-uid', value: 'uid', help: 'act as the user with this UID' },
  { name: 'server', short: 's', value: 'url', help: 'address of the API server' },
  { name: 'tls-server-name', value: 'name', help: 'name in the certificate of the API server' },
  { name: 'certificate-authority', value: 'path', help: 'what the API server is verified by' },
  { name: 'client-certificate', value: 'path', help: 'certificate to show to the API server' },
  { name: 'client-key', value: 'path', help: 'its key' },
  { name: 'token', value: 'token', help: 'bearer token for the API server' },
  {
    name: 'request-timeout',
    value: 'duration',
    help: 'longest wait for an answer, such as 10s; 30s unless told',
  },
];

/** Flags that say which objects. */
export const SCOPE_FLAGS: readonly FlagSpec[] = [
  { name: 'namespace', short: 'n', value: 'name', help: 'look in this namespace' },
  { name: 'all-namespaces', short: 'A', help: 'look in all namespaces' },
  { name: 'selector', short: 'l', value: 'labels', help: 'only objects with these labels' },
];

/** Forms that a command prints in. */
export type OutputForm = 'table' | 'wide' | 'json' | 'yaml' | 'name' | 'pem' | 'jwks';

/** `-o`, with the forms that a command has. */
export function outputFlag(choices: readonly OutputForm[]): FlagSpec {
  return {
    name: 'output',
    short: 'o',
    value: 'form',
    choices,
    help: `${choices.join(', ')}; table unless told`,
  };
}

/** Switch that leaves the heads of a table out. */
export const NO_HEADERS: FlagSpec = { name: 'no-headers', help: 'leave the heads of tables out' };

/** How soon an end counts as near. */
export const WITHIN_FLAG: FlagSpec = {
  name: 'within',
  value: 'duration',
  help: 'what ends sooner is Expiring, such as 30d; 7d or a sixth of its life unless told',
};

/** The form that is asked for. */
export function outputOf(input: Input): OutputForm {
  const forms: readonly OutputForm[] = ['wide', 'json', 'yaml', 'name', 'pem', 'jwks'];
  return forms.find((form) => form === input.text('output')) ?? 'table';
}

/** Milliseconds of `--within`; undefined where it is not given. */
export function withinFlag(input: Input): Result<number | undefined> {
  return input.text('within') === undefined ? ok(undefined) : durationFlag(input, 'within', 0);
}

/** Milliseconds of a flag; a bare number is seconds. */
export function durationFlag(input: Input, flag: string, defaultMs: number): Result<number> {
  const text = input.text(flag);
  if (text === undefined) return ok(defaultMs);
  // kubectl's --request-timeout=0 is no limit.
  if (text === '0' && flag === 'request-timeout') return ok(86_400_000);
  if (/^\d{1,9}$/.test(text)) return ok(Number(text) * 1000);
  const seconds = parseDuration(text);
  return seconds.ok ? ok(seconds.value * 1000) : flagError(flag, seconds.error.message);
}

/** What the flags say in place of the kubeconfig. */
export function overridesOf(
  input: Input,
  env: Readonly<Record<string, string | undefined>>,
): Result<KubeOverrides> {
  const user = input.text('as');
  const groups = input.texts('as-group');
  const uid = input.text('as-uid');
  if (user === undefined && (groups.length > 0 || uid !== undefined)) {
    return flagError('as-group', 'and --as-uid need --as');
  }
  return ok({
    cluster: input.text('cluster'),
    user: input.text('user'),
    server: input.text('server'),
    tlsServerName: input.text('tls-server-name'),
    certificateAuthority: input.text('certificate-authority'),
    clientCertificate: input.text('client-certificate'),
    clientKey: input.text('client-key'),
    token: input.text('token'),
    impersonate: user === undefined ? undefined : { user, groups, uid },
    proxyEnv: env,
  });
}
