import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts';

/** Where the page stands. */
export const ERRORS_PAGE = 'docs/errors.md';

const INTRO = `# Errors

Every refusal has a code. Over gRPC it travels with the status below, its message starts with what
was wrong, and where the table says *retry* the same request may succeed later without anybody's
act. The command line prints the code and the last column. Codes are never renamed or reused.

The code travels in the trailer \`signet-error-code\`. A few refusals come from the gRPC library itself
and have none: a message in a compression that it does not know or that grows too large, a malformed
\`grpc-timeout\`, a deadline that passed, and an HTTP request that is not gRPC.

This page is written from the table in \`src/base/errors/\` by \`npm run docs\`; a test compares them.
`;

/** Section files in the order of the table, each with its codes. */
function sections(): readonly { readonly name: string; readonly codes: readonly ErrorCode[] }[] {
  const folder = 'src/base/errors';
  const named = readdirSync(folder)
    .filter((file) => file !== 'define.ts' && file.endsWith('.ts'))
    .sort()
    .map((file) => {
      const source = readFileSync(`${folder}/${file}`, 'utf8');
      const codes = Object.keys(ERRORS).filter((code) =>
        new RegExp(`^ {2}${code}:`, 'm').test(source),
      );
      return { name: file.slice(0, -'.ts'.length), codes: codes as ErrorCode[] };
    });
  const placed = new Set<string>(named.flatMap(({ codes }) => codes));
  const rest = Object.keys(ERRORS).filter((code) => !placed.has(code)) as ErrorCode[];
  return [...named, { name: 'other', codes: rest }].filter(({ codes }) => codes.length > 0);
}

/** The whole page as the table would have it. */
export function renderErrorsPage(): string {
  const tables = sections().map(({ name, codes }) => {
    const rows = codes.map((code) => {
      const { status, retryable, means, action } = ERRORS[code];
      return `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${means} | ${action} |`;
    });
    const title = `## ${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    const head =
      '| code | status | retry | what happened | what to do |\n| --- | --- | --- | --- | --- |';
    return `${title}\n\n${head}\n${rows.join('\n')}\n`;
  });
  return `${INTRO}\n${tables.join('\n')}`;
}

if (import.meta.main) writeFileSync(ERRORS_PAGE, renderErrorsPage());
