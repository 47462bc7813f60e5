import { readdirSync, writeFileSync } from 'node:fs';
import type { LintName } from '../../src/lint/lint.ts';

/** Where the page stands. */
export const LINTS_PAGE = 'docs/lints.md';

const FOLDER = 'src/lint';

/** What others take over, so it comes first. */
const SHARED = 'certificate-lints.ts';

const INTRO = `# Lints

Nothing is signed that breaks one of these rules: a refusal is \`LINT_REFUSED\`, its message and the log
name the lint, and the key was not asked. It means a fault of the program, not of the request. How the
gate works is in [issuance-cycle.md](issuance-cycle.md).

\`X509-n\` are the rules of the X509-SVID standard by the numbers that the tests carry as well.

This page is written from the tables in \`${FOLDER}/\` by \`npm run docs\`; a test compares them.
`;

/** A table of lints and the source that it stands in. */
export interface LintTable {
  readonly source: string;
  readonly lints: readonly LintName[];
}

function isLint(value: unknown): value is LintName {
  return typeof value === 'object' && value !== null && 'id' in value && 'rule' in value;
}

/** Lints that a module exports, in lists, maps or alone. */
function lintsOf(exported: unknown): readonly LintName[] {
  if (isLint(exported)) return [exported];
  if (typeof exported !== 'object' || exported === null) return [];
  return Object.values(exported).filter(isLint);
}

/** Every table, the lints that a table takes over from another left out. */
export async function lintTables(): Promise<readonly LintTable[]> {
  const seen = new Set<LintName>();
  const tables: LintTable[] = [];
  const files = readdirSync(FOLDER).filter((file) => /(?<!\.test)\.ts$/.test(file));
  for (const file of new Set([SHARED, ...files.sort()])) {
    // What comes of it is looked at by `lintsOf`.
    const module: Record<string, unknown> = await import(`../../${FOLDER}/${file}`);
    const lints = Object.values(module)
      .flatMap(lintsOf)
      .filter((lint) => !seen.has(lint));
    for (const lint of lints) seen.add(lint);
    if (lints.length > 0) tables.push({ source: file, lints });
  }
  return tables;
}

/** The whole page as the tables would have it. */
export async function renderLintsPage(): Promise<string> {
  const tables = (await lintTables()).map(({ source, lints }) => {
    const rows = lints.map(({ id, rule, says }) => `| \`${id}\` | ${rule} | ${says} |`);
    const head = '| lint | rule | what holds |\n| --- | --- | --- |';
    return `## \`${source}\`\n\n${head}\n${rows.join('\n')}\n`;
  });
  return `${INTRO}\n${tables.join('\n')}`;
}

if (import.meta.main) writeFileSync(LINTS_PAGE, await renderLintsPage());
