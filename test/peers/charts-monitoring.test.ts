import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
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
