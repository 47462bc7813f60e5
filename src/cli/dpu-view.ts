import type { Assessment, Dpu, HostKey, MeasuredValue, Pairing } from '../gen/signet/dpu/v1/dpu.ts';
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

/** All of one DPU, a line a field; names are short so that a SHA-256 beside one fits into 80 columns. */
export function formatDpu(dpu: Dpu, io: Pick<CliIo, 'clock'>): string {
  const at = (seconds: bigint): string | readonly string[] =>
    seconds === 0n ? [] : formatTime(Number(seconds), io.clock.nowMs());
  const { bmc, host, hostBmc, lastFull } = dpu;
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
    ['Join secret', dpu.awaitsJoinSecret ? 'due at the next attestation' : []],
    ['Own key', some(dpu.ownKey)],
    ['TPM EK', some(dpu.endorsementKey)],
    ...formatPairing(dpu.pairing, at),
    ['Host BMC', hostBmc === undefined ? [] : `${hostBmc.host}:${hostBmc.port}`],
    ...formatHostKey(dpu.hostKey, at),
    ['Host TPM', some(dpu.hostTpm?.endorsementKey)],
    ['shown since', at(dpu.hostTpm?.since ?? 0n)],
    ['Baseline', dpu.baseline.map(formatValue)],
    ['Baseline till', at(dpu.baselineWindowEnds)],
    ['Accepted', dpu.accepted.map(({ target, release }) => `${target} ${release}`)],
    ['Is to attest', some(dpu.attestDemand?.reason)],
    ['asked', at(dpu.attestDemand?.since ?? 0n)],
    ['Silent since', at(dpu.unreachableSince)],
    ['Commissioned', at(dpu.commissionedAt)],
    ['Attested', at(dpu.attestedAt)],
    ['light since', lastFull === undefined ? [] : `${lastFull.light}`],
    ['Changed', at(dpu.updatedAt)],
  ]);
  return dpu.assessment === undefined ? block : `${block}\n${formatAssessment(dpu.assessment, io)}`;
}

type At = (seconds: bigint) => string | readonly string[];
type Fields = readonly (readonly [string, string | readonly string[]])[];

function formatPairing(pairing: Pairing | undefined, at: At): Fields {
  if (pairing === undefined) return [];
  const { host, source, checkedAt } = pairing;
  const found = [host?.serial, host?.uuid, host?.pf0Mac].filter((text) => text !== undefined);
  return [
    ['Paired with', found.filter((text) => text !== '')],
    ['told by', some(source)],
    ['at', at(checkedAt)],
  ];
}

function formatHostKey(hostKey: HostKey | undefined, at: At): Fields {
  if (hostKey === undefined) return [];
  const { anchor, boot, witnessed, hostUuid, since } = hostKey;
  return [
    ['Host key', anchor],
    ['of host', hostUuid],
    ['since', at(since)],
    ['in boot', `${boot} (${witnessed ? 'the DPU saw it' : 'as the host says'})`],
  ];
}

function formatAssessment(assessment: Assessment, io: Pick<CliIo, 'clock'>): string {
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
