/** A pod as clusters hold them, without what the API server adds: two containers, volumes, tolerations. */
export function podObject(
  index: number,
  where: { readonly namespace: string; readonly serviceAccountName: string },
): {
  readonly metadata: Readonly<Record<string, unknown>> & { readonly name: string };
  readonly spec: Readonly<Record<string, unknown>> & { readonly volumes: readonly object[] };
} {
  const env = Array.from({ length: 12 }, (_, at) => ({ name: `VAR_${at}`, value: `value-${at}` }));
  const container = (name: string): object => ({
    name,
    image: `registry.example.org/team/${name}:1.2.${index % 10}`,
    args: ['--listen=:8443', '--log-level=info', `--shard=${index}`],
    env,
    ports: [{ name: 'https', containerPort: 8443, protocol: 'TCP' }],
    resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    volumeMounts: [
      { name: 'config', mountPath: '/etc/config', readOnly: true },
      { name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
    ],
    livenessProbe: { httpGet: { path: '/live', port: 8443, scheme: 'HTTPS' }, periodSeconds: 10 },
    terminationMessagePath: '/dev/termination-log',
    imagePullPolicy: 'IfNotPresent',
  });
  return {
    metadata: {
      name: `web-${index}`,
      namespace: where.namespace,
      labels: { app: `app-${index % 500}`, 'pod-template-hash': `7d4f${index % 500}`, tier: 'web' },
      annotations: { 'checksum/config': 'a'.repeat(64) },
    },
    spec: {
      serviceAccountName: where.serviceAccountName,
      automountServiceAccountToken: false,
      containers: [container('main'), container('sidecar')],
      volumes: [
        { name: 'config', configMap: { name: 'web' } },
        { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
      ],
      tolerations: [
        { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
      ],
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
    },
  };
}
