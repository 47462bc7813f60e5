import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import { startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { assertValue } from '../support/refused.ts';
import { TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { skipNow } from '../support/shared.ts';
import { type GoTool, goTool } from './go-tool.ts';

const CHART = 'charts/signet';

const AGENT_ENDS = `
rule_files: [alerts.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'signet_server_agents', values: '3x60' }
      - { series: 'signet_server_svids_total{svid="x509",code="ok"}', values: '0+90x60' }
      - { series: 'signet_server_svids_total{svid="x509",code="KEY_BLOCKED"}', values: '0+10x60' }
      - { series: 'signet_server_svids_total{svid="jwt",code="ok"}', values: '0+90x60' }
      - { series: 'signet_server_svids_total{svid="jwt",code="KEY_BLOCKED"}', values: '0+1x60' }
      - { series: 'signet_server_crl_next_update_seconds', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="a",source="kubelet"}', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="a",source="api-server"}', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="b",source="kubelet"}', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="b",source="api-server"}', values: '1x60' }
      - { series: 'signet_agent_svid_seconds_left{pod="a"}', values: '599x60' }
      - { series: 'signet_agent_svid_seconds_left{pod="b"}', values: '600x60' }
      - { series: 'signet_server_pod_certificates_waiting{cluster="busy"}', values: '2x60' }
      - { series: 'signet_server_pod_certificates_total{cluster="busy",outcome="issued"}', values: '0+1x60' }
      - { series: 'signet_server_pod_certificates_waiting{cluster="stuck"}', values: '2x60' }
      - { series: 'signet_server_pod_certificates_total{cluster="stuck",outcome="issued"}', values: '7x60' }
      - { series: 'signet_server_issuers{cluster="busy",ready="false"}', values: '0x60' }
      - { series: 'signet_server_issuers{cluster="stuck",ready="true"}', values: '3x60' }
      - { series: 'signet_server_issuers{cluster="stuck",ready="false"}', values: '1x60' }
      - { series: 'signet_server_kube_bundle_objects_behind{cluster="busy",target="a"}', values: '0x60' }
      - { series: 'signet_server_kube_bundle_objects_behind{cluster="stuck",target="a"}', values: '4x60' }
      - { series: 'signet_server_federation_bundle_age_seconds{trust_domain="fresh"}', values: '7200x60' }
      - { series: 'signet_server_federation_fetch_failed{trust_domain="fresh"}', values: '1x60' }
      - { series: 'signet_server_federation_bundle_age_seconds{trust_domain="old"}', values: '7201x60' }
      - { series: 'signet_server_federation_fetch_failed{trust_domain="old"}', values: '0x60' }
      - { series: 'signet_server_federation_fetch_failed{trust_domain="never"}', values: '1x60' }
    promql_expr_test:
      - expr: 'count by (alertname, cluster, target, trust_domain) (ALERTS{alertstate="firing",alertname=~"SignetPod.*|SignetIssuers.*|SignetBundles.*|SignetFed.*"})'
        eval_time: 45m
        exp_samples:
          - { labels: '{alertname="SignetPodCertificatesLate",cluster="stuck"}', value: 1 }
          - { labels: '{alertname="SignetIssuersNotReady",cluster="stuck"}', value: 1 }
          - { labels: '{alertname="SignetBundlesNotPublished",cluster="stuck",target="a"}', value: 1 }
          - { labels: '{alertname="SignetFederatedBundleOld",trust_domain="old"}', value: 1 }
          - { labels: '{alertname="SignetFederatedBundleOld",trust_domain="never"}', value: 1 }
      - expr: 'count by (alertname, pod, svid) (ALERTS{alertstate="firing",alertname!~"SignetPod.*|SignetIssuers.*|SignetBundles.*|SignetFed.*"})'
        eval_time: 45m
        exp_samples:
          - { labels: '{alertname="SignetAgentSvidEnds",pod="a"}', value: 1 }
          - { labels: '{alertname="SignetAgentWithoutPods",pod="a"}', value: 1 }
          - { labels: '{alertname="SignetIssuanceFails",svid="x509"}', value: 1 }
  - interval: 1m
    input_series:
      - { series: 'signet_server_agents', values: '3x120' }
      - { series: 'signet_server_enrolment_ca_end_seconds{vendor="replaced",serial="1"}', values: '0x120' }
      - { series: 'signet_server_enrolment_ca_end_seconds{vendor="replaced",serial="2"}', values: '99999999x120' }
      - { series: 'signet_server_enrolment_ca_end_seconds{vendor="ends",serial="3"}', values: '2592000x120' }
      - { series: 'signet_server_enrolment_root_end_seconds{pod="a"}', values: '15552000x120' }
      - { series: 'signet_server_enrolment_root_end_seconds{pod="b"}', values: 'NaN+0x120' }
      - { series: 'signet_connector_zpa_certificate_days{pod="ends"}', values: '13.9x120' }
      - { series: 'signet_connector_zpa_certificate_days{pod="lasts"}', values: '14x120' }
      - { series: 'signet_connector_zpa_certificate_days{pod="unknown"}', values: 'NaN+0x120' }
      - { series: 'signet_connector_zpa_control_connected{pod="up"}', values: '1x120' }
      - { series: 'signet_connector_zpa_control_connected{pod="down"}', values: '0x120' }
      - { series: 'signet_connector_zpa_control_connected{pod="unknown"}', values: 'NaN+0x120' }
      - { series: 'signet_connector_zpa_clock_skew_seconds{pod="near"}', values: '-5x120' }
      - { series: 'signet_connector_zpa_clock_skew_seconds{pod="far"}', values: '-5.1x120' }
      - { series: 'signet_connector_zpa_status_age_seconds{pod="talks"}', values: '180x120' }
      - { series: 'signet_connector_zpa_status_age_seconds{pod="silent"}', values: '181x120' }
    promql_expr_test:
      - expr: 'count by (alertname, pod, vendor) (ALERTS{alertstate="firing",alertname=~"SignetZpa.*|SignetEnrolment.*"})'
        eval_time: 90m
        exp_samples:
          - { labels: '{alertname="SignetEnrolmentCaEnds",vendor="ends"}', value: 1 }
          - { labels: '{alertname="SignetEnrolmentRootEnds"}', value: 1 }
          - { labels: '{alertname="SignetZpaCertificateEnds",pod="ends"}', value: 1 }
          - { labels: '{alertname="SignetZpaDisconnected",pod="down"}', value: 1 }
          - { labels: '{alertname="SignetZpaClockOff",pod="far"}', value: 1 }
          - { labels: '{alertname="SignetZpaSilent",pod="silent"}', value: 1 }
  - interval: 1m
    input_series:
      - { series: 'signet_server_agents', values: '3x120' }
      - { series: 'signet_server_connectors{group="db",state="lost"}', values: '1x120' }
      - { series: 'signet_server_connectors{group="web",state="lost"}', values: '0x120' }
      - { series: 'signet_server_connectors{group="web",state="active"}', values: '4x120' }
      - { series: 'signet_server_connector_certificate_end_seconds{group="db"}', values: '5699x120' }
      - { series: 'signet_server_connector_certificate_end_seconds{group="web"}', values: '5700x120' }
      - { series: 'signet_server_connector_key_uses_ratio{group="db"}', values: '0.8x120' }
      - { series: 'signet_server_connector_key_uses_ratio{group="web"}', values: '0.79x120' }
      - { series: 'signet_server_connector_enrolments_total{proof="bound-key",outcome="ok"}', values: '0+9x120' }
      - { series: 'signet_server_connector_enrolments_total{proof="bound-key",outcome="CONNECTOR_KEY_CIDR"}', values: '0+1x120' }
      - { series: 'signet_server_connector_enrolments_total{proof="bound-key",outcome="CONNECTOR_GROUP_FULL"}', values: '7x120' }
      - { series: 'signet_server_connector_session_ends_total{why="paced",pod="a"}', values: '0+1x120' }
      - { series: 'signet_server_connector_session_ends_total{why="paced",pod="b"}', values: '9x120' }
      - { series: 'signet_server_connector_session_ends_total{why="clone_suspected",pod="a"}', values: '0x120' }
      - { series: 'signet_server_connector_session_ends_total{why="clone_suspected",pod="b"}', values: '0+1x120' }
    promql_expr_test:
      - expr: 'count by (alertname, group, outcome, pod) (ALERTS{alertstate="firing"})'
        eval_time: 90m
        exp_samples:
          - { labels: '{alertname="SignetConnectorsLost",group="db"}', value: 1 }
          - { labels: '{alertname="SignetConnectorCertificateEnds",group="db"}', value: 1 }
          - { labels: '{alertname="SignetConnectorKeyNearlyUsedUp",group="db"}', value: 1 }
          - { labels: '{alertname="SignetConnectorEnrolmentsRefused",outcome="CONNECTOR_KEY_CIDR"}', value: 1 }
          - { labels: '{alertname="SignetConnectorSessionsPaced",pod="a"}', value: 1 }
          - { labels: '{alertname="SignetConnectorCopied",pod="b"}', value: 1 }
  - interval: 1m
    input_series: []
    promql_expr_test:
      - expr: 'count by (alertname) (ALERTS{alertstate="firing"})'
        eval_time: 10m
        exp_samples: [{ labels: '{alertname="SignetServerAbsent"}', value: 1 }]
`;

describe('alert rules and dashboards', () => {
  let promtool: GoTool;
  let dir: string;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-charts-'));
    const program = 'github.com/prometheus/prometheus/cmd/promtool';
    promtool = await goTool('promtool', program, ['remove_all_sd']);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('are what Prometheus takes, and fire when they should', async (t) => {
    if (promtool.missing !== undefined) return skipNow(t, promtool.missing);
    const rules = readFileSync(join(CHART, 'files/alerts.yaml'), 'utf8');
    writeFileSync(join(dir, 'alerts.yaml'), rules);
    writeFileSync(join(dir, 'test.yaml'), AGENT_ENDS);
    for (const args of [
      ['check', 'rules', '--lint=all', '--lint-fatal', join(dir, 'alerts.yaml')],
      ['test', 'rules', join(dir, 'test.yaml')],
    ]) {
      const { code, stdout, stderr } = await promtool.run(args);
      assert.equal(code, 0, stdout + stderr);
    }
  });

  it('of dashboards are queries that Prometheus takes', async (t) => {
    if (promtool.missing !== undefined) return skipNow(t, promtool.missing);
    const board = parseDocument(readFileSync(join(CHART, 'files/dashboards/signet.json'), 'utf8'));
    const { panels } = board.toJS() as {
      panels: readonly { targets: readonly { expr: string }[] }[];
    };
    const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const rules = queries.map((query, index) => ({
      record: `query:${index}`,
      expr: query.replaceAll('$__rate_interval', '5m'),
    }));
    const path = join(dir, 'queries.yaml');
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    const { code, stdout, stderr } = await promtool.run(['check', 'rules', path]);
    assert.equal(code, 0, stdout + stderr);
  });
});

/** Metrics that alert rules and dashboards name, of one program; without the parts of histograms. */
function named(program: 'server' | 'agent'): readonly string[] {
  const files = ['files/alerts.yaml', 'files/dashboards/signet.json'];
  const text = files.map((file) => readFileSync(join(CHART, file), 'utf8')).join('\n');
  const found = text.matchAll(/\bsignet_(server|agent)_\w+/g);
  const names = [...found].filter(([, of]) => of === program).map(([name]) => name);
  return [...new Set(names.map((name) => name.replace(/_bucket$/, '')))].sort();
}

/** A cluster where nobody answers. */
const NOBODY = `
apiVersion: v1
kind: Config
current-context: c
clusters: [{ name: c, cluster: { server: "https://127.0.0.1:9" } }]
users: [{ name: u, user: { token: t } }]
contexts: [{ name: c, context: { cluster: c, user: u } }]
`;

/** What only other settings bring, or the program of its own that a test has not; held against the sources elsewhere. */
const ELSEWHERE = {
  server: [
    'signet_server_dpu_reference_age_seconds',
    'signet_server_issuing_ca_renewal_failing',
    'signet_server_ledger_copy_lag_seconds',
    'signet_server_process_resident_memory_bytes',
    'signet_server_sealed_keys_faulty',
    'signet_server_upstream_failing',
  ],
  agent: ['signet_agent_process_resident_memory_bytes'],
};

/** Names of what a telemetry page shows, whether there is a value yet or not. */
async function shown(port: number | undefined): Promise<readonly string[]> {
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return [...page.matchAll(/^# TYPE (\S+) /gm)].map(([, name = '']) => name);
}

describe('metrics of alert rules and dashboards', () => {
  it('are what server and agent show', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sgn-shown-'));
    const kubeconfigPath = join(dir, 'kubeconfig');
    writeFileSync(kubeconfigPath, NOBODY);
    const cluster = {
      ...{ name: 'rack-1', kubeconfigPath, trustBundles: [{ name: 'a' }] },
      issuers: { leaseNamespace: 'a' },
      podCertificates: { signerDomain: 'signet.acme.io', leaseNamespace: 'a' },
    };
    const server = await TestServer.start({
      telemetry: { port: 0 },
      crl: { enabled: true },
      connectors: { enrolmentRoot: {} },
      kubernetes: { clusters: [cluster] },
    });
    const bundlePath = join(dir, 'bundle.pem');
    writeFileSync(bundlePath, await server.bundlePem());
    const config = agentConfigSchema.parse({
      trustDomain: TRUST_DOMAIN,
      dataDir: join(dir, 'agent'),
      server: { address: '127.0.0.1', port: server.running.port },
      bootstrap: { bundlePath },
      join: { token: await server.token() },
      workloadSocket: { path: join(dir, 'w/api.sock') },
      workloadAttestors: { k8s: { sources: ['kubelet-socket'] } },
      telemetry: { port: 0 },
    });
    const agent = assertValue(await startAgent(config, { log: createLogger({ level: 'silent' }) }));
    try {
      const ofServer = await shown(server.running.telemetryPort);
      const ofAgent = await shown(agent.telemetryPort);
      const missing = (program: 'server' | 'agent', there: readonly string[]) =>
        named(program).filter((name) => !there.includes(name));
      assert.ok(named('server').length > 20 && named('agent').length > 5);
      assert.deepEqual(missing('server', ofServer), ELSEWHERE.server);
      assert.deepEqual(missing('agent', ofAgent), ELSEWHERE.agent);
    } finally {
      await agent.stop('test is over');
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
