import { X509Certificate } from 'node:crypto';
import { ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import { type InspectedEvidence, inspectEvidence } from '../dpu/inspect.ts';
import { layerText } from '../dpu/manifest/device-record.ts';
import { valueText } from '../dpu/manifest/draft-manifest.ts';
import type { BmcClient } from '../redfish/bmc-client.ts';
import { listTargets } from '../redfish/component-integrity.ts';
import { type BmcInventory, readInventoryFromBmc } from '../redfish/inventory.ts';
import { collectSignedMeasurements } from '../redfish/signed-measurements.ts';
import { problemOf } from './bmc-round.ts';
import type { CliIo } from './spec.ts';
import { formatBlock, formatTable } from './text.ts';

const NONCE_BYTES = 32;
/** Cards answer for their own keys in this slot (DSP0274). */
const SLOT = 0;
const CHAIN_LIMITS = { maxBytes: 64 * 1024, maxBlocks: 8 };

/** One component of a card, or why it showed nothing that holds. */
export interface InspectedComponent {
  readonly target: string;
  readonly shown: Result<InspectedEvidence>;
}

/** A card as its BMC and its roots of trust show it. */
export interface InspectedCard {
  readonly inventory: BmcInventory;
  readonly components: readonly InspectedComponent[];
}

/** What a card is asked for. */
export interface Inspection {
  /** Components; all that can answer where none is named. */
  readonly targets: readonly string[];
  /** DER of roots that devices may leave out. */
  readonly anchors: readonly Uint8Array[];
}

/**
 * Collects signed measurements of a card with nonces of ours and verifies them against what the card shows
 * of itself. What is wrong with one component is in its place. Errors: REDFISH_*.
 */
export async function inspectCard(
  client: BmcClient,
  { targets, anchors }: Inspection,
  { clock, random, signal }: CliIo,
): Promise<Result<InspectedCard>> {
  const inventory = await readInventoryFromBmc(client, { signal });
  if (!inventory.ok) return inventory;
  const listed = targets.length > 0 ? ok(targets) : await listTargets(client, { signal });
  if (!listed.ok) return listed;
  const inspect = async (target: string): Promise<Result<InspectedEvidence>> => {
    const nonce = random.bytes(NONCE_BYTES);
    const asked = { nonce, slot: SLOT };
    const collected = await collectSignedMeasurements(client, target, asked, { signal });
    if (!collected.ok) return collected;
    const chain = parsePem(collected.value.certificateChainPem, CHAIN_LIMITS);
    if (!chain.ok) return chain;
    const certificates = chain.value.map(({ der }) => der);
    const messages = collected.value.signedMeasurements;
    return inspectEvidence({ target, messages, certificates }, nonce, {
      atMs: clock.nowMs(),
      anchors,
    });
  };
  const components: InspectedComponent[] = [];
  for (const target of listed.value) components.push({ target, shown: await inspect(target) });
  return ok({ inventory: inventory.value, components });
}

/** A card for people. */
export function formatCard(address: string, tlsPin: string, card: InspectedCard): string {
  const { inventory, components } = card;
  const head = formatBlock([
    ['BMC', address],
    ['TLS pin', `spki-sha256:${tlsPin}`],
    ['Serial', inventory.serial],
    ['Model', inventory.model ?? []],
  ]);
  return [head, ...components.map(formatComponent)].join('\n');
}

function formatComponent({ target, shown }: InspectedComponent): string {
  if (!shown.ok)
    return formatBlock([
      ['Component', target],
      ['Refused', problemOf(shown.error)],
    ]);
  const { product, evidence } = shown.value;
  const { chain, measurements } = evidence;
  const head = formatBlock([
    ['Component', target],
    ['Device key', chain.deviceIdSha256],
    ['Device', chain.deviceInfo ?? []],
    ['Class CA', [chain.classCaSha256, subjectOf(product.classCa.der)]],
    ['Root', [chain.rootSha256, subjectOf(product.root.der)]],
    ['SPDM', `${measurements.version}, signed with ${measurements.hash}`],
    ['Layers', chain.layers.map(layerText).map(({ name, fwids }) => `${name} ${fwids.join(' ')}`)],
  ]);
  const rows = measurements.blocks.map((block) => [
    String(block.index),
    String(block.kind),
    valueText(block),
  ]);
  return `${head}\n${formatTable(['INDEX', 'KIND', 'VALUE'], rows)}`;
}

function subjectOf(der: Uint8Array): string {
  return new X509Certificate(der).subject.replaceAll('\n', ', ');
}

/** A card for programs. */
export function cardFacts(address: string, tlsPin: string, card: InspectedCard): unknown {
  return {
    address,
    tlsPin,
    serial: card.inventory.serial,
    model: card.inventory.model,
    components: card.components.map(({ target, shown }) => {
      if (!shown.ok) return { target, refused: shown.error.code, reason: shown.error.message };
      const { chain, measurements } = shown.value.evidence;
      return {
        target,
        deviceId: chain.deviceIdSha256,
        deviceInfo: chain.deviceInfo,
        classCa: chain.classCaSha256,
        root: chain.rootSha256,
        layers: chain.layers.map(layerText),
        measurements: measurements.blocks.map((block) => ({
          index: block.index,
          kind: block.kind,
          value: valueText(block),
        })),
      };
    }),
  };
}
