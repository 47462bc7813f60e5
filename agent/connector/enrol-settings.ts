import { z } from 'zod';
import { absolutePathSetting } from '../../src/runtime/config.ts';

/** Ways to prove who the connector is. */
export const ENROL_METHODS = [
  'kubernetes-token',
  'provisioning-key',
  'bound-key',
  'x509-svid',
] as const;

/** Variable that a provisioning key is read from unless another is named. */
const DEFAULT_KEY_VARIABLE = 'SIGNET_PROVISIONING_KEY';

/** Schema of the `enrol` section of `connector.yaml`. */
export const enrolSchema = z.strictObject({
  method: z.enum(ENROL_METHODS).describe('How the companion proves who it is.'),
  tokenPath: absolutePathSetting
    .optional()
    .describe(
      "Projected token of the pod's service account, for the server's audience; read at each enrolment. With a provisioning key it makes restarts of the pod one use.",
    ),
  cluster: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('Name of the cluster of that token, where the server knows several.'),
  keyPath: absolutePathSetting
    .optional()
    .describe('File with the provisioning key; read at each enrolment.'),
  keyVariable: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/, 'must be the name of a variable')
    .default(DEFAULT_KEY_VARIABLE)
    .describe('Variable with the provisioning key, where keyPath is not set.'),
  boundKeyPath: absolutePathSetting
    .optional()
    .describe('Bound key, PEM; bound-key.pem in dataDir unless set.'),
  makeBoundKey: z
    .boolean()
    .default(false)
    .describe('Makes the bound key where there is none, and logs the public key to register.'),
  spiffeId: z
    .string()
    .optional()
    .describe('Which X.509-SVID of the Workload API proves it; the first unless set.'),
});

/** The `enrol` section. */
export type EnrolSettings = z.output<typeof enrolSchema>;

/** What is wrong with a section as a whole; undefined when nothing is. */
export function enrolProblem(
  enrol: Pick<EnrolSettings, 'method' | 'tokenPath'>,
  workloadSocket: string | undefined,
): string | undefined {
  if (enrol.method === 'kubernetes-token' && enrol.tokenPath === undefined) {
    return 'enrol.tokenPath: kubernetes-token needs it';
  }
  if (enrol.method === 'x509-svid' && workloadSocket === undefined) {
    return 'workloadApi.socket: x509-svid needs it';
  }
  return undefined;
}
