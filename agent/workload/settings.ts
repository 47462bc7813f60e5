import { z } from 'zod';
import { kubePlaceSettings } from '../../src/kube/settings.ts';
import { absolutePathSetting, hostSetting } from '../../src/runtime/config.ts';
import { durationSetting, sizeSetting } from '../../src/runtime/units.ts';

/** Ways to the pods of this node, the best first. */
export const POD_SOURCES = ['kubelet-socket', 'kubelet', 'api-server'] as const;

/** Where the kubelet of Kubernetes 1.37 has the socket of its pods API (KEP-4188). */
export const DEFAULT_KUBELET_SOCKET = '/var/lib/kubelet/pods-api/pods-api.sock';

/** Where a pod finds its service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Names of objects in Kubernetes, as far as an address needs it. */
const nodeNameSetting = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/, 'must be the name of a node');

const unixSchema = z
  .strictObject({
    discoverPath: z.boolean().default(false).describe('Adds the selectors path and sha256.'),
    maxHashBytes: sizeSetting({ max: '4GiB' })
      .prefault('512MiB')
      .describe('Larger binaries fail the attestation; 0B does without sha256.'),
  })
  .prefault({});

const kubeletSchema = z
  .strictObject({
    host: hostSetting
      .optional()
      .describe('Address of the kubelet, such as 127.0.0.1 with hostNetwork; nodeName unless set.'),
    port: z.int().min(1).max(65_535).default(10_250).describe('Port of the kubelet.'),
    serverName: hostSetting
      .optional()
      .describe("Name in the kubelet's certificate; nodeName unless set."),
    caPath: absolutePathSetting
      .default(`${SERVICE_ACCOUNT}/ca.crt`)
      .describe("Certificates (PEM) that the kubelet's own leads to; it is always verified."),
    tokenPath: absolutePathSetting
      .default(`${SERVICE_ACCOUNT}/token`)
      .describe('Token for the kubelet; read at each call.'),
  })
  .prefault({});

const apiServerSchema = z.strictObject(kubePlaceSettings).prefault({});

const k8sSchema = z
  .strictObject({
    nodeName: nodeNameSetting
      .optional()
      .describe('Name of this node; the variable MY_NODE_NAME unless set.'),
    sources: z
      .array(z.enum(POD_SOURCES))
      .min(1)
      .default([...POD_SOURCES])
      .describe('Where pods are read, the best first; the others stand in for it.'),
    hold: durationSetting({ max: '9s' })
      .prefault('8s')
      .describe('Longest wait for a container that is in the status of no pod yet.'),
    namespaceLabels: z
      .boolean()
      .default(false)
      .describe('Adds the selectors ns-label; pods get nothing while the API server is away.'),
    kubeletSocket: absolutePathSetting
      .default(DEFAULT_KUBELET_SOCKET)
      .describe("Socket of the kubelet's pods API (Kubernetes 1.37; 1.36 with a feature gate)."),
    kubelet: kubeletSchema,
    apiServer: apiServerSchema,
  })
  .describe('Selectors of pods; needs the PID namespace of the host. Absent: none.');

function engineSchema(name: string, socketPath: string) {
  return z
    .strictObject({
      socketPath: absolutePathSetting
        .default(socketPath)
        .describe(`Socket of ${name}; it has to be root's.`),
    })
    .optional()
    .describe(`Selectors of containers of ${name}. Absent: none.`);
}

const systemdSchema = z
  .strictObject({
    busctlPath: absolutePathSetting
      .default('/usr/bin/busctl')
      .describe("systemd's tool to speak D-Bus with."),
    busAddress: z
      .string()
      .regex(/^unix:/, 'must be a D-Bus address such as unix:path=/run/dbus/system_bus_socket')
      .optional()
      .describe('D-Bus address of the system bus; the usual one unless set.'),
  })
  .optional()
  .describe('Selectors of systemd units; processes without a unit get nothing. Absent: none.');

const slurmSchema = z
  .strictObject({
    askController: z
      .boolean()
      .default(false)
      .describe(
        'Adds the selectors user, account and partition; while Slurm is away jobs get nothing.',
      ),
    squeuePath: absolutePathSetting.default('/usr/bin/squeue').describe("Slurm's squeue."),
    confPath: absolutePathSetting.optional().describe('slurm.conf; where Slurm has it unless set.'),
  })
  .optional()
  .describe('Selectors of Slurm jobs. Absent: none.');

/** Schema of the `workloadAttestors` section of `agent.yaml`. */
export const workloadAttestorsSchema = z
  .strictObject({
    unix: unixSchema,
    k8s: k8sSchema.optional(),
    docker: engineSchema('Docker', '/var/run/docker.sock'),
    podman: engineSchema('Podman', '/run/podman/podman.sock'),
    systemd: systemdSchema,
    slurm: slurmSchema,
  })
  .prefault({})
  .describe('What is learnt of calling processes: all of it, or they get nothing.');

/** What `workloadAttestors` says. */
export type WorkloadAttestorSettings = z.output<typeof workloadAttestorsSchema>;

/** What `workloadAttestors.k8s` says. */
export type K8sSettings = z.output<typeof k8sSchema>;
