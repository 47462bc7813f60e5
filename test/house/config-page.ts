import { writeFileSync } from 'node:fs';
import { agentConfigJsonSchema } from '../../agent/config.ts';
import { connectorConfigJsonSchema } from '../../agent/connector/config.ts';
import { serverConfigJsonSchema } from '../../src/server/config.ts';

/** Where the page stands. */
export const CONFIG_PAGE = 'docs/configuration.md';

const INTRO = `# Configuration

One YAML file for each process, read once at start. An unknown key is refused with its place and the keys
that are allowed; \`signet server validate\`, \`signet agent validate\` and \`signet connector validate\` tell
all that is wrong without starting anything. Durations carry their unit (\`90s\`, \`5m\`, \`1h30m\`), sizes too (\`64KiB\`).

On SIGHUP the server takes over \`log.level\`, \`adminIds\`, \`svid.x509Ttl\`, \`svid.agentTtl\`, \`jwt.ttl\` and
the limits of rates and batches, those of connectors (\`sessionsPerSecond\`, \`enrolmentsPerSecond\`,
\`enrolmentBurst\`) too; any other change is named in the log and waits for a restart.

This page is written from the schemas by \`npm run docs\`; a test compares them.
`;

interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

function allowed(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.type === 'array') return 'list';
  if (schema.minimum !== undefined && schema.maximum !== undefined) {
    return `${schema.minimum} – ${schema.maximum}`;
  }
  if (schema.pattern?.includes('(ms|s') === true) return 'duration';
  if (schema.pattern?.includes('KiB') === true) return 'size';
  return schema.type === 'boolean' ? '`true`, `false`' : 'text';
}

/** A leaf's default: its own, or what a section above it says for it. */
function fallback(schema: Schema, inherited: unknown, required: boolean): string {
  const value = inherited ?? schema.default;
  if (value === undefined) return required ? '**required**' : '–';
  if (Array.isArray(value) && value.length === 0) return 'empty';
  return `\`${typeof value === 'object' ? JSON.stringify(value) : String(value)}\``;
}

function rows(schema: Schema, path: string, inherited: unknown): readonly string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    const childPath = path === '' ? key : `${path}.${key}`;
    const given = (inherited as Record<string, unknown> | undefined)?.[key];
    if (child.properties !== undefined) {
      const section =
        child.description === undefined ? [] : [`| \`${childPath}\` | | | ${child.description} |`];
      return [...section, ...rows(child, childPath, given ?? child.default)];
    }
    const required = schema.required?.includes(key) ?? false;
    const about = child.description ?? '';
    const ofEach = rows(child.items ?? {}, `${childPath}[]`, undefined);
    return [
      `| \`${childPath}\` | ${allowed(child)} | ${fallback(child, given, required)} | ${about} |`,
      ...ofEach,
    ];
  });
}

/** Settings that the page would show without a word about them. */
export function undescribed(): readonly string[] {
  return renderConfigPage()
    .split('\n')
    .filter((line) => line.startsWith('| `') && line.endsWith('|  |'));
}

function table(title: string, schema: Record<string, unknown>): string {
  const head = '| key | allowed | default | what it does |\n| --- | --- | --- | --- |';
  return `## ${title}\n\n${head}\n${rows(schema as Schema, '', undefined).join('\n')}\n`;
}

/** The whole page as the schemas would have it. */
export function renderConfigPage(): string {
  const server = table('`server.yaml`', serverConfigJsonSchema());
  const agent = table('`agent.yaml`', agentConfigJsonSchema());
  return [INTRO, server, agent, table('`connector.yaml`', connectorConfigJsonSchema())].join('\n');
}

if (import.meta.main) writeFileSync(CONFIG_PAGE, renderConfigPage());
