import { utf8 } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { parsePem } from '../../der/pem.ts';
import { layerText } from '../../dpu/manifest/device-record.ts';
import { type DraftTarget, draftManifest } from '../../dpu/manifest/draft-manifest.ts';
import { parseManifest } from '../../dpu/manifest/parse-manifest.ts';
import { askEachBmc, BMC_ACCESS_FLAGS, type BmcAnswer } from '../bmc-round.ts';
import { readData } from '../files.ts';
import { flagError } from '../flags.ts';
import { cardFacts, formatCard, type InspectedCard, inspectCard } from '../inspect-bmc.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { counted, safeJson, safeLines } from '../text.ts';

const ANCHOR_LIMITS = { maxBytes: 64 * 1024, maxBlocks: 8 };
const MAX_INDEX = 254;

const CARD_FLAGS: readonly FlagSpec[] = [
  {
    name: 'target',
    value: 'component',
    repeat: true,
    help: 'ask this component alone, such as Bluefield_DPU_IRoT; all unless told',
  },
  { name: 'root', value: 'path', help: 'roots (PEM) that cards may leave out of their chain' },
  ...BMC_ACCESS_FLAGS,
];

/** `signet dpu inspect`. */
export const dpuInspect: CommandSpec = {
  prints: true,
  args: 'BMC...',
  about:
    'Asks BMCs (host, host:port) for signed measurements, with a nonce of this command, and shows what holds: device keys, firmware ids, each index, and the pins that a server would need. Chain and signature are checked against what the card shows of itself, so compare the pins with the word of the vendor. Needs no server.',
  flags: CARD_FLAGS,
  examples: ['signet dpu inspect 10.1.2.3 --bmc-user-file u --bmc-password-file p'],
  run: async (input, io) => {
    const answers = await inspectAll(input, io);
    if (!answers.ok) return answers;
    const cards = answers.value.flatMap(({ address, tlsPin = '', answer }) =>
      answer.ok ? [{ address, tlsPin, card: answer.value }] : [],
    );
    if (input.text('output') === 'json') {
      const facts = cards.map(({ address, tlsPin, card }) => cardFacts(address, tlsPin, card));
      io.out(`${safeJson({ cards: facts })}\n`);
    } else {
      io.out(cards.map((one) => formatCard(one.address, one.tlsPin, one.card)).join('\n'));
      io.out(pinsText(cards.map(({ card }) => card)));
    }
    const refused = cards.flatMap(({ card }) => card.components).filter(({ shown }) => !shown.ok);
    const silent = answers.value.length - cards.length;
    if (silent + refused.length === 0) return ok(undefined);
    const silence = counted(silent, 'BMC', 'BMCs');
    const what = `${silence} and ${counted(refused.length, 'component', 'components')}`;
    return fail('CLI_PARTLY_FAILED', `${what} showed nothing that holds`);
  },
};

/** `signet dpu manifest draft`. */
export const dpuManifestDraft: CommandSpec = {
  args: 'BMC...',
  about:
    'Asks cards of one firmware release for signed measurements and prints them as a reference manifest to correct and sign. With two cards or more, what differs between them becomes the baseline. It tells what these cards run, not what they should run: compare it with the vendor before you sign.',
  flags: [
    { name: 'id', value: 'name', required: true, help: 'name of the manifest' },
    {
      name: 'release',
      value: 'name',
      required: true,
      help: 'name of the release that the cards run',
    },
    { name: 'order', value: 'number', help: 'its place among releases, higher is newer; 1' },
    { name: 'sequence', value: 'number', help: 'revision of the manifest; 1' },
    {
      name: 'class',
      value: 'component=class',
      repeat: true,
      help: 'device class of a component; unless told the name of the component in small letters',
    },
    { name: 'baseline', value: 'indices', help: 'indices of each device, such as 7,8,9' },
    { name: 'rollback-counters', value: 'indices', help: 'indices of rollback counters' },
    ...CARD_FLAGS,
  ],
  examples: [
    'signet dpu manifest draft 10.1.2.3 10.1.2.4 --id bf3 --release 25.04 > bf3.json',
    'signet dpu manifest draft 10.1.2.3 --id bf3 --release 25.04 --baseline 7,8,9,10',
  ],
  run: draft,
};

async function draft(input: Input, io: CliIo): Promise<Result<void>> {
  const options = draftOptions(input, io);
  if (!options.ok) return options;
  const classes = classesOf(input);
  if (!classes.ok) return classes;
  const answers = await inspectAll(input, io);
  if (!answers.ok) return answers;
  const targets = targetsOf(answers.value, classes.value);
  if (!targets.ok) return targets;
  const drafted = draftManifest(targets.value, options.value);
  if (!drafted.ok) return drafted;
  const text = `${JSON.stringify(drafted.value.manifest, undefined, 2)}\n`;
  // What a server would refuse is not worth correcting: names and bounds are checked here.
  const readable = parseManifest(utf8(text));
  if (!readable.ok) return readable;
  io.out(text);
  for (const note of drafted.value.notes) io.err(`${safeLines(note)}\n`);
  io.err('Compare with the vendor, then: signet dpu manifest sign --key KEY FILE\n');
  return ok(undefined);
}

async function inspectAll(
  input: Input,
  io: CliIo,
): Promise<Result<readonly BmcAnswer<InspectedCard>[]>> {
  if (input.args.length === 0) return fail('CLI_USAGE', 'takes the addresses of BMCs');
  const anchors = await anchorsOf(input, io);
  if (!anchors.ok) return anchors;
  const inspection = { targets: input.texts('target'), anchors: anchors.value };
  return askEachBmc<InspectedCard>(
    {
      addresses: input.args,
      called: 'BMC',
      ask: ({ client }) => inspectCard(client, inspection, io),
      said: ({ inventory, components }) => {
        const held = components.filter(({ shown }) => shown.ok).length;
        return `${inventory.serial}: ${held} of ${components.length} components hold`;
      },
    },
    input,
    io,
  );
}

async function anchorsOf(input: Input, io: CliIo): Promise<Result<readonly Uint8Array[]>> {
  const path = input.text('root');
  if (path === undefined) return ok([]);
  const pem = await readData(path, io);
  if (!pem.ok) return pem;
  const blocks = parsePem(pem.value, ANCHOR_LIMITS);
  return blocks.ok
    ? ok(blocks.value.map(({ der }) => der))
    : flagError('root', blocks.error.message);
}

/** Every component of the cards, as each showed it; a draft without one of them would be a wrong one. */
function targetsOf(
  answers: readonly BmcAnswer<InspectedCard>[],
  classes: ReadonlyMap<string, string>,
): Result<readonly DraftTarget[]> {
  const targets = new Map<string, DraftTarget['cards'][number][]>();
  for (const { address, answer } of answers) {
    if (!answer.ok) return answer;
    for (const { target, shown } of answer.value.components) {
      if (!shown.ok) {
        const { code, message } = shown.error;
        return fail(code, `${address}, ${target}: ${message}; --target names those to draft`);
      }
      const { chain, measurements } = shown.value.evidence;
      const cards = targets.get(target) ?? [];
      cards.push({
        place: address,
        blocks: measurements.blocks,
        layers: chain.layers.map(layerText),
      });
      targets.set(target, cards);
    }
  }
  const drafts = [...targets].map(([id, cards]) => {
    return { id, deviceClass: classes.get(id) ?? classNameOf(id), cards };
  });
  return drafts.length > 0 ? ok(drafts) : fail('REDFISH_NO_ATTESTATION', 'no component can answer');
}

function classNameOf(target: string): string {
  return target.toLowerCase().replaceAll('_', '-');
}

function classesOf(input: Input): Result<ReadonlyMap<string, string>> {
  const classes = new Map<string, string>();
  for (const text of input.texts('class')) {
    const [target = '', name, ...rest] = text.split('=');
    if (name === undefined || rest.length > 0) return flagError('class', 'is not component=class');
    classes.set(target, name);
  }
  return ok(classes);
}

function draftOptions(input: Input, io: CliIo) {
  const [order, sequence] = [whole(input, 'order', 0), whole(input, 'sequence', 1)];
  if (!order.ok) return order;
  if (!sequence.ok) return sequence;
  const baseline = indicesOf(input, 'baseline');
  if (!baseline.ok) return baseline;
  const rollbackCounters = indicesOf(input, 'rollback-counters');
  if (!rollbackCounters.ok) return rollbackCounters;
  return ok({
    id: input.text('id') ?? '',
    release: input.text('release') ?? '',
    order: order.value,
    sequence: sequence.value,
    issuedAtMs: io.clock.nowMs(),
    baseline: baseline.value,
    rollbackCounters: rollbackCounters.value,
  });
}

function whole(input: Input, flag: string, least: number): Result<number> {
  const text = input.text(flag) ?? '1';
  const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  return number < least ? flagError(flag, `is not a whole number from ${least}`) : ok(number);
}

function indicesOf(input: Input, flag: string): Result<readonly number[]> {
  const text = input.text(flag);
  if (text === undefined) return ok([]);
  const indices = text.split(',').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 0));
  const good = indices.every((index) => index >= 1 && index <= MAX_INDEX);
  return good ? ok([...new Set(indices)]) : flagError(flag, `is not indices 1 to ${MAX_INDEX}`);
}

/** The settings of a server that would take such cards. */
function pinsText(cards: readonly InspectedCard[]): string {
  const classes = new Map<string, Map<'roots' | 'classCas', Set<string>>>();
  for (const { target, shown } of cards.flatMap(({ components }) => components)) {
    if (!shown.ok) continue;
    const { rootSha256, classCaSha256 } = shown.value.evidence.chain;
    const pins =
      classes.get(target) ??
      new Map([
        ['roots', new Set()],
        ['classCas', new Set()],
      ]);
    pins.get('roots')?.add(rootSha256);
    pins.get('classCas')?.add(classCaSha256);
    classes.set(target, pins);
  }
  if (classes.size === 0) return '';
  const lines = [...classes].flatMap(([target, pins]) => [
    `      - name: ${classNameOf(target)}`,
    ...[...pins].map(([name, all]) => `        ${name}: [${[...all].join(', ')}]`),
  ]);
  const targets = [...classes.keys()].map(
    (target) => `      - { id: ${target}, class: ${classNameOf(target)} }`,
  );
  const head =
    '\nWhat a server would pin, once the vendor has confirmed it:\n\nattestation:\n  dpu:\n';
  return safeLines(`${head}${['    classes:', ...lines, '    targets:', ...targets].join('\n')}\n`);
}
