import type { Assessment, Dpu, MeasuredValue } from '../gen/signet/dpu/v1/dpu.ts';
import type { CliIo } from './spec.ts';
import { formatBlock, formatTable, formatTime, span } from './text.ts';

/** DPUs, a line each. */
export function formatDpus(dpus: readonly Dpu[], io: CliIo): string {
  const rows = dpus.map((dpu) => [
    dpu.serial,
    dpu.mustAttest && dpu.state === 'commissioned' ? 'must attest' : dpu.state,
    since(dpu.stateSince, io),
    dpu.zone === undefined ? '' : `${dpu.zone}`,
    dpu.rack,
    dpu.reason.length > 40 ? `${dpu.reason.slice(0, 39)}…` : dpu.reason,
  ]);
  return formatTable(['SERIAL', 'STATE', 'SINCE', 'ZONE', 'RACK', 'REASON'], rows);
}

/** All of one DPU, a line a field. */
export function formatDpu(dpu: Dpu, io: CliIo): string {
  const at = (seconds: bigint): string | readonly string[] =>
    seconds === 0n ? [] : formatTime(Number(seconds), io.clock.nowMs());
  const { bmc, host, pairing, hostBmc, hostKey } = dpu;
  const block = formatBlock([
    ['Serial', dpu.serial],
    ['State', dpu.mustAttest ? `${dpu.state} (must attest in full)` : dpu.state],
    ['Reason', some(dpu.reason)],
    ['Since', at(dpu.stateSince)],
    ['Model', some(dpu.model)],
    ['OPN', some(dpu.opn)],
    ['PSID', some(dpu.psid)],
    ['BMC', bmc === undefined ? [] : `${bmc.host}:${bmc.port}`],
    ['BMC TLS pin', some(bmc?.tlsPin)],
    ['BMC UUID', some(bmc?.uuid)],
    ['Host', some([host?.serial, host?.uuid].filter((text) => text).join(' '))],
    ['PF0 MAC', some(host?.pf0Mac)],
    ['Zone', dpu.zone === undefined ? [] : `${dpu.zone}`],
    ['Rack', some(dpu.rack)],
    ['Tenant', some(dpu.tenant)],
    ['Device key', dpu.deviceIds],
    ['Agent', dpu.agentIds],
    ['Paired with', pairing === undefined ? [] : `${pairing.host?.serial} (${pairing.source})`],
    ['Host BMC', hostBmc === undefined ? [] : `${hostBmc.host}:${hostBmc.port}`],
    ['Host key', hostKey === undefined ? [] : `${hostKey.anchor} (boot ${hostKey.boot})`],
    ['Baseline', dpu.baseline.map(formatValue)],
    ['Baseline window', at(dpu.baselineWindowEnds)],
    ['Accepted', dpu.accepted.map(({ target, release }) => `${target} ${release}`)],
    ['Asked to attest', some(dpu.attestDemand?.reason)],
    ['BMC silent since', at(dpu.unreachableSince)],
    ['Commissioned', at(dpu.commissionedAt)],
    ['Attested', at(dpu.attestedAt)],
    ['Changed', at(dpu.updatedAt)],
  ]);
  return dpu.assessment === undefined ? block : `${block}\n${formatAssessment(dpu.assessment, io)}`;
}

function formatAssessment(assessment: Assessment, io: CliIo): string {
  const { verdict, code, detail, components, posture } = assessment;
  return formatBlock([
    ['Last verdict', verdict],
    ['At', formatTime(Number(assessment.at), io.clock.nowMs())],
    ['Code', some(code)],
    ['Detail', some(detail)],
    ['Evidence', assessment.evidence.join(', ')],
    ['Binding', assessment.binding],
    [
      'Component',
      components.map(({ target, release }) => `${target} ${release || '(no release)'}`),
    ],
    ['Posture', Object.entries(posture).map(([name, value]) => `${name}: ${value}`)],
    ['Evidence id', some(assessment.evidenceId)],
  ]);
}

function formatValue({ target, index, value }: MeasuredValue): string {
  return `${target} ${index} ${value.length > 24 ? `${value.slice(0, 23)}…` : value}`;
}

function since(seconds: bigint, io: CliIo): string {
  return span(Math.max(0, io.clock.nowMs() / 1000 - Number(seconds)));
}

/** What is empty gets no line. */
function some(text: string | undefined): string | readonly string[] {
  return text === undefined || text === '' ? [] : text;
}
