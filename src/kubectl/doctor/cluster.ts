import { inParallel } from '../../base/in-parallel.ts';
import { ok, type Result } from '../../base/result.ts';
import { span } from '../../cli/text.ts';
import { booleanAt, objectsAt, textAt } from '../../kube/objects.ts';
import { pathOf } from '../../kube/resource.ts';
import type { Cluster } from '../clusters.ts';
import { type Finding, findingOf, type Severity } from './finding.ts';

/** Clocks further apart make certificates seem past or not yet valid, in milliseconds. */
const MAX_SKEW_MS = 30_000;
/** Questions asked of a cluster at a time. */
const AT_ONCE = 4;

/** What a command needs to ask for. */
interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** What goes without it. */
  readonly use: string;
  /** Without it the plugin shows too little to rely on. */
  readonly needed: boolean;
}

const CERTIFICATES = 'certificates.k8s.io';

const RIGHTS: readonly Right[] = [
  { verb: 'list', group: '', resource: 'configmaps', use: 'list and drift', needed: true },
  { verb: 'list', group: '', resource: 'namespaces', use: 'list -A', needed: false },
  {
    verb: 'list',
    group: CERTIFICATES,
    resource: 'clustertrustbundles',
    use: 'list and drift',
    needed: true,
  },
  { verb: 'list', group: '', resource: 'secrets', use: '--secrets', needed: false },
  { verb: 'get', group: '', resource: 'secrets', use: 'svid secret/…', needed: false },
  { verb: 'get', group: '', resource: 'pods', use: 'svid pod/…', needed: false },
  {
    verb: 'create',
    group: '',
    resource: 'pods',
    subresource: 'exec',
    use: 'svid pod/…',
    needed: false,
  },
];

/** Which version answers; that it may not be asked is a hint. Fails where the API server does not answer. */
export async function versionFinding({
  context,
  api,
  timeoutMs,
}: Cluster): Promise<Result<Finding>> {
  const version = await api.request({ verb: 'get', path: '/version', timeoutMs });
  const check = 'API server';
  if (version.ok) {
    return ok(findingOf(context, check, textAt(version.value, 'gitVersion') ?? 'unknown', 'Ok'));
  }
  const { code } = version.error;
  if (!['KUBE_FORBIDDEN', 'KUBE_NOT_FOUND'].includes(code)) return version;
  const remedy = 'its version is not told to this user, which nothing but this check needs';
  return ok(findingOf(context, check, code, 'Hint', remedy));
}

/** Whether our clock and the API server's are together, by the Date of its last answer. */
export function clockFinding({ context, api }: Cluster): Finding {
  const aheadMs = api.serverAheadMs;
  if (aheadMs === undefined) {
    return findingOf(context, 'clock', 'the API server tells no time', 'Hint', 'compare by hand');
  }
  // The Date of HTTP has whole seconds.
  const isFar = Math.abs(aheadMs) > MAX_SKEW_MS;
  const far = `API server ${span(Math.abs(aheadMs) / 1000)} ${aheadMs > 0 ? 'ahead' : 'behind'}`;
  return findingOf(
    context,
    'clock',
    isFar ? far : 'together with the API server',
    isFar ? 'Failed' : 'Ok',
    'set the clocks of this machine and of the control plane by NTP',
  );
}

/** In which versions the cluster serves what Signet works with; those of the second are told as well. */
export async function servedFindings(
  cluster: Cluster,
): Promise<{ readonly findings: readonly Finding[]; readonly podRequests: boolean }> {
  const { context } = cluster;
  const versions = await inParallel(['v1', 'v1beta1', 'v1alpha1'], AT_ONCE, (version) =>
    servedIn(cluster, version),
  );
  const refused = versions.find((one) => !one.ok);
  const served = (plural: string): readonly string[] =>
    versions.flatMap((one) =>
      one.ok && one.value.plurals.includes(plural) ? one.value.version : [],
    );
  const finding = (check: string, plural: string, gate: string): Finding => {
    const where = served(plural);
    const unknown = refused?.ok === false ? refused.error.code : 'not served';
    const found = where.length > 0 ? `served as ${where.join(', ')}` : unknown;
    return findingOf(context, check, found, where.length > 0 ? 'Ok' : 'Hint', gate);
  };
  return {
    podRequests: served('podcertificaterequests').length > 0,
    findings: [
      finding('ClusterTrustBundles', 'clustertrustbundles', gateText('ClusterTrustBundle')),
      finding(
        'PodCertificateRequests',
        'podcertificaterequests',
        gateText('PodCertificateRequest'),
      ),
    ],
  };
}

function gateText(kind: string): string {
  return (
    `Kubernetes 1.37 serves them; before, the API server needs the feature gate ${kind} and ` +
    `--runtime-config=${CERTIFICATES}/v1beta1/${kind.toLowerCase()}s=true`
  );
}

async function servedIn(
  { api, timeoutMs }: Cluster,
  version: string,
): Promise<Result<{ readonly version: string; readonly plurals: readonly string[] }>> {
  const path = `/apis/${CERTIFICATES}/${version}`;
  const found = await api.request({ verb: 'get', path, timeoutMs });
  if (!found.ok && found.error.code !== 'KUBE_NOT_FOUND') return found;
  const plurals = found.ok
    ? objectsAt(found.value, 'resources').flatMap((one) => textAt(one, 'name') ?? [])
    : [];
  return ok({ version, plurals });
}

/** Whether we may ask for what other commands need, as the API server reviews it for us. */
export function rightFindings(cluster: Cluster): Promise<readonly Finding[]> {
  return inParallel(RIGHTS, AT_ONCE, (right) => rightFinding(cluster, right));
}

async function rightFinding(cluster: Cluster, right: Right): Promise<Finding> {
  const { context, api, timeoutMs, namespace } = cluster;
  const { verb, group, resource, subresource, use, needed } = right;
  const what = subresource === undefined ? resource : `${resource}/${subresource}`;
  const check = `may ${verb} ${what}`;
  const isOfNamespace = !['namespaces', 'clustertrustbundles'].includes(resource);
  const where = namespace === undefined || !isOfNamespace ? 'everywhere' : `in ${namespace}`;
  const verbs = verb === 'list' ? 'get and list' : verb;
  const full = `${what}${group === '' ? '' : `.${group}`}`;
  const remedy = `bind a role with ${verbs} on ${full} ${where}; ${use} needs it`;
  const path = pathOf({
    group: 'authorization.k8s.io',
    version: 'v1',
    plural: 'selfsubjectaccessreviews',
  });
  const finding = (found: string, result: Severity): Finding =>
    findingOf(context, check, found, result, remedy);
  const lacking = needed ? 'Failed' : 'Hint';
  if (!path.ok) return finding(path.error.code, lacking);
  const within = isOfNamespace && namespace !== undefined ? { namespace } : {};
  const resourceAttributes = { verb, group, resource, subresource, ...within };
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes },
  };
  // Asks and changes nothing, though it is written as the making of an object.
  const review = await api.request({ verb: 'create', path: path.value, body, timeoutMs });
  if (!review.ok) return finding(review.error.code, lacking);
  const allowed = booleanAt(review.value, 'status', 'allowed') === true;
  return finding(allowed ? 'yes' : 'no', allowed ? 'Ok' : lacking);
}
