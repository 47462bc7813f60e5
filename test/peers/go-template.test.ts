import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KUBE_TYPES } from '../../src/rules/template/kube-types.ts';
import {
  parseTemplate,
  renderTemplate,
  type TemplateData,
} from '../../src/rules/template/template.ts';
import { run } from '../support/processes.ts';
import { TEMPLATE_DATA, TEMPLATES } from '../support/template-corpus.ts';
import { build, buildDir, has } from './build.ts';

const peer = join(buildDir('go-template'), 'peer');

async function prepare(): Promise<string | undefined> {
  if (existsSync(peer)) return undefined;
  if (!(await has('go'))) return 'go is not installed';
  return (await build([['go', ['build', '-o', peer, '.'], 'test/peers/go-template']])).missing;
}

/** What Go made of a template. */
interface Answer {
  readonly output?: string;
  readonly failed?: 'parse' | 'execute';
  readonly reason?: string;
}

interface Job {
  readonly Template: string;
  readonly Data: TemplateData;
}

/** The data as Go's own JSON reader takes it: the objects by their Kubernetes names. */
async function askGo(jobs: readonly Job[]): Promise<readonly Answer[]> {
  const input = jobs.map((job) => JSON.stringify(job)).join('\n');
  const { code, stdout, stderr } = await run(peer, [], { input });
  assert.equal(code, 0, stderr);
  // Our own program's answers.
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);
}

function ours({ Template, Data }: Job): Answer & { readonly unsupported?: boolean } {
  const template = parseTemplate(Template);
  const rendered = template.ok ? renderTemplate(template.value, Data) : template;
  if (rendered.ok) return { output: rendered.value };
  const { code, message } = rendered.error;
  const failed = template.ok ? 'execute' : 'parse';
  return { failed, reason: message, unsupported: code === 'TEMPLATE_UNSUPPORTED' };
}

/** What random templates are made of: whole actions, and parts that seldom fit. */
const PIECES = [
  ...['{{.PodMeta.Name}}', '{{if .PodMeta.Labels.app}}', '{{if .PodMeta.Labels.no}}', '{{end}}'],
  ...['{{else}}', '{{range .PodMeta.Finalizers}}', '{{range $i, $e := .PodMeta.Labels}}', '{{$e}}'],
  ...[
    '{{with .PodSpec}}',
    '{{.}}',
    '{{.NodeName}}',
    '{{- 1 -}}',
    ' text\n',
    '{{/* c */}}',
    '{{break}}',
  ],
  ...[
    '{{$x := "a"}}',
    '{{$x}}',
    '{{$x = "b"}}',
    '{{',
    '}}',
    ' -}}',
    '{{- ',
    '(',
    ')',
    '|',
    ' ',
    ' . ',
  ],
  ...[
    'eq ',
    '1 ',
    '"s" ',
    'len ',
    'index ',
    '.PodMeta.Labels ',
    '"app"',
    'print ',
    'not ',
    'or ',
    'and ',
  ],
  ...['printf "%v-%d" ', '.TrustDomain', '.PodMeta', '.X', '$', 'nil ', 'true ', '{{define "d"}}'],
  ...['{{template "d" .}}', "'c' ", '`r`', '-', '0x1f ', '1.5', ',', ':=', '='],
];

const missing = await prepare();

describe("Go's text/template as the judge", { skip: missing ?? false }, () => {
  it('sees the same types', async () => {
    const { stdout } = await run(peer, ['types']);
    assert.equal(KUBE_TYPES.trim(), stdout.trim());
  });

  it('renders every template of the corpus to the same text, or refuses it as we do', async () => {
    const jobs = TEMPLATES.flatMap((Template) =>
      Object.values(TEMPLATE_DATA).map((Data) => ({ Template, Data })),
    );
    const answers = await askGo(jobs);
    assert.equal(answers.length, jobs.length);
    const differing = jobs.flatMap((job, index) => {
      const [theirs, mine] = [answers[index], ours(job)];
      if (mine.unsupported || theirs?.output === mine.output) return [];
      return [{ template: job.Template, theirs, mine }];
    });
    assert.deepEqual(differing, []);
    const unsupported = new Set(
      jobs.filter((job) => ours(job).unsupported).map((job) => job.Template),
    );
    assert.deepEqual([...unsupported], ['{{0x}}', '{{$}}', '{{.}}', '{{ . | }}']);
  });

  it('agrees on templates made at random', async () => {
    const pieces = fc.constantFrom(...PIECES);
    const made = fc.array(pieces, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(''));
    const templates = fc.sample(made, { numRuns: 4000, seed: 7 });
    const jobs = templates.map((Template) => ({ Template, Data: TEMPLATE_DATA.full }));
    const answers = await askGo(jobs);
    const differing = jobs.filter((job, index) => {
      const mine = ours(job);
      return !mine.unsupported && answers[index]?.output !== mine.output;
    });
    assert.deepEqual(
      differing.map(({ Template }) => Template),
      [],
    );
    const rendered = answers.filter(({ output }) => output !== undefined);
    assert.ok(rendered.length > 100, `${rendered.length} of them render`);
  });
});
