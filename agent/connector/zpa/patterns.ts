import { z } from 'zod';
import {
  type LineTemplate,
  matchTemplate,
  parseTemplate,
  type TemplateRules,
} from './line-template.ts';
import { CONNECTED, certificateSeconds, printable, type StatusFact } from './status-facts.ts';

const MAX_PATTERNS = 8;

/** Seconds and milliseconds of skew, one of both. */
const SKEW_NAMES: readonly string[] = ['seconds', 'milliseconds'];

/** What patterns of each kind read. */
const RULES = {
  connector: {
    values: { id: 'word', name: 'rest', version: 'word' },
    isWhole: (names) => names.includes('id'),
    mayBeginOpen: false,
  },
  certificate: {
    values: { days: 'number', hours: 'number', minutes: 'number', seconds: 'number' },
    isWhole: (names) => names.length > 0,
    mayBeginOpen: false,
  },
  control: {
    values: { state: 'word' },
    isWhole: (names) => names.length === 1,
    mayBeginOpen: false,
  },
  skew: {
    values: { seconds: 'signed', milliseconds: 'signed' },
    isWhole: (names) => names.length === 1 && SKEW_NAMES.some((name) => names.includes(name)),
    mayBeginOpen: false,
  },
  flows: {
    values: { active: 'number' },
    isWhole: (names) => names.length === 1,
    mayBeginOpen: false,
  },
  apps: {
    values: { registered: 'number', alive: 'number' },
    isWhole: (names) => names.length === 2,
    mayBeginOpen: false,
  },
  targets: {
    values: { registered: 'number', alive: 'number' },
    isWhole: (names) => names.length === 2,
    mayBeginOpen: false,
  },
  prefix: { values: {}, isWhole: () => true, mayBeginOpen: true },
} as const satisfies Record<string, TemplateRules>;

type Kind = keyof typeof RULES;
type FactKind = Exclude<Kind, 'prefix'>;

const FACT_KINDS = [
  'connector',
  'certificate',
  'control',
  'skew',
  'flows',
  'apps',
  'targets',
] as const satisfies readonly FactKind[];

function templates(kind: Kind, about: string) {
  const names = [...Object.keys(RULES[kind].values), '*'].map((name) => `{${name}}`).join(' ');
  return z
    .array(
      z.string().superRefine((text, context) => {
        const read = parseTemplate(text, RULES[kind]);
        if (!read.ok) context.addIssue({ code: 'custom', message: read.error.message });
      }),
    )
    .max(MAX_PATTERNS)
    .default([])
    .describe(`${about}: ${names}.`);
}

/** The `zpa.patterns` section: lines as this version of the vendor's connector writes them. */
export const patternsSchema = z
  .strictObject({
    prefix: templates('prefix', 'What stands before each line, up to what it says'),
    connector: templates('connector', 'Line with its ID'),
    certificate: templates('certificate', 'Line with the time that its certificate has left'),
    control: templates('control', 'Line with the state of its control connection'),
    connectedStates: z
      .array(z.string().regex(/^[\w.-]{1,64}$/, 'must be a word'))
      .min(1)
      .max(MAX_PATTERNS)
      .default([CONNECTED])
      .describe('States of the control connection that are healthy.'),
    skew: templates('skew', 'Line with the skew of its clock'),
    flows: templates('flows', 'Line with its open flows'),
    apps: templates('apps', 'Line with its apps'),
    targets: templates('targets', 'Line with its targets'),
  })
  .prefault({})
  .describe('Forms of lines, tried before those that are known (docs/zpa.md).');

/** What `zpa.patterns` says. */
export type PatternSettings = z.output<typeof patternsSchema>;

/** Patterns that are ready to read lines. */
export interface LinePatterns {
  readonly prefix: readonly LineTemplate[];
  readonly facts: readonly (readonly [FactKind, LineTemplate])[];
  readonly connectedStates: readonly string[];
}

/** Patterns of settings that the schema took. */
export function readPatterns(settings: PatternSettings): LinePatterns {
  const of = (kind: Kind): readonly LineTemplate[] =>
    settings[kind].flatMap((text) => {
      const read = parseTemplate(text, RULES[kind]);
      return read.ok ? [read.value] : [];
    });
  return {
    prefix: of('prefix'),
    facts: FACT_KINDS.flatMap((kind) => of(kind).map((template) => [kind, template] as const)),
    connectedStates: settings.connectedStates,
  };
}

/** A line without the prefix that settings name; undefined where it has none of them. */
export function withoutPrefix(line: string, { prefix }: LinePatterns): string | undefined {
  for (const template of prefix) {
    const match = matchTemplate(template, line);
    if (match !== undefined) return line.slice(match.end);
  }
  return undefined;
}

/** What a line says by the patterns of settings; the first that fits counts. */
export function factByPattern(text: string, patterns: LinePatterns): StatusFact | undefined {
  for (const [kind, template] of patterns.facts) {
    const match = matchTemplate(template, text);
    if (match !== undefined) return factOf(kind, match.values, patterns);
  }
  return undefined;
}

function factOf(
  kind: FactKind,
  values: ReadonlyMap<string, string>,
  { connectedStates }: LinePatterns,
): StatusFact {
  const number = (name: string): number => Number((values.get(name) ?? '0').replaceAll(' ', ''));
  switch (kind) {
    case 'connector': {
      const [id = '', name = '', version = ''] = ['id', 'name', 'version'].map((key) =>
        values.get(key),
      );
      return { kind, id, name: printable(name), version };
    }
    case 'certificate': {
      const parts = ['days', 'hours', 'minutes', 'seconds'].map(number);
      return { kind, seconds: certificateSeconds(parts) };
    }
    case 'control': {
      const state = values.get('state') ?? '';
      return { kind, connected: connectedStates.includes(state), state };
    }
    case 'skew': {
      const seconds = values.has('seconds') ? number('seconds') : number('milliseconds') / 1000;
      return { kind, seconds };
    }
    case 'flows':
      return { kind, active: number('active') };
    default:
      return { kind, registered: number('registered'), alive: number('alive') };
  }
}
