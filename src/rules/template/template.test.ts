import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { TEMPLATE_DATA, TEMPLATES } from '../../../test/support/template-corpus.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { Result } from '../../base/result.ts';
import {
  MAX_TEMPLATE_BYTES,
  parseTemplate,
  renderTemplate,
  TEMPLATE_LIMITS,
  type TemplateData,
} from './template.ts';

function render(text: string, data: TemplateData = TEMPLATE_DATA.full): Result<string> {
  const template = parseTemplate(text);
  return template.ok ? renderTemplate(template.value, data) : template;
}

// What Go makes of each was asked of Go: test/peers/go-template.test.ts has these and many more.
const RENDERED: readonly (readonly [string, string])[] = [
  [
    'spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}',
    'spiffe://example.org/ns/shop/sa/web',
  ],
  ['{{ .PodMeta.Labels.absent }}', '<no value>'],
  ['{{ index .PodMeta.Labels "absent" }}|', '|'],
  ['{{ .PodMeta.Labels.absent.deeper }}', '<no value>'],
  ['{{ or .PodMeta.Labels.team "nobody" }}', 'nobody'],
  [
    '{{ range $k, $v := .NodeMeta.Labels }}{{ $k }}={{ $v }};{{ end }}',
    'kubernetes.io/os=linux;topology.kubernetes.io/zone=z1;',
  ],
  ['a \n {{- 1 -}} \n b', 'a1b'],
  ['{{ .PodSpec.SecurityContext.RunAsUser }}', '1001'],
  ['{{ printf "%05d|%-4s|%q" 42 "x" "y" }}', '00042|x   |"y"'],
];

const REFUSED: readonly (readonly [string, string, ErrorCode, string])[] = [
  ['an action without an end', 'x\n{{ 1', 'TEMPLATE_SYNTAX', 'line 2'],
  ['a block without an end', '{{if true}}\n\nx', 'TEMPLATE_SYNTAX', 'line 3'],
  ['a function of another library', '\n{{ lower .TrustDomain }}', 'TEMPLATE_FUNCTION', 'line 2'],
  ['a field that there is not', '\n\n{{ .PodMeta.Nope }}', 'TEMPLATE_VALUE', 'line 3'],
  ['JSON names in the place of Go names', '{{ .PodMeta.name }}', 'TEMPLATE_VALUE', 'no field name'],
  ['a field of a nil pointer', '{{ .PodSpec.Affinity.NodeAffinity }}', 'TEMPLATE_VALUE', 'nil'],
  ['an index out of range', '{{ index .PodMeta.Finalizers 3 }}', 'TEMPLATE_VALUE', 'out of range'],
  ['a struct to be printed', '{{ .PodSpec }}', 'TEMPLATE_UNSUPPORTED', 'v1.PodSpec'],
  ['a time to be printed', '{{ .PodMeta.CreationTimestamp }}', 'TEMPLATE_UNSUPPORTED', 'v1.Time'],
  [
    'a template that calls itself',
    '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}',
    'TEMPLATE_LIMIT',
    '32',
  ],
  [
    'a range over more than there are steps',
    '{{range 1000000000}}{{end}}',
    'TEMPLATE_LIMIT',
    'steps',
  ],
  [
    'a text that doubles',
    '{{$x := "aaaaaaaaaaaaaaaa"}}{{range 40}}{{$x = print $x $x}}{{end}}',
    'TEMPLATE_LIMIT',
    'bytes',
  ],
  ['a field of enormous width', '{{ printf "%2000000000d" 1 }}', 'TEMPLATE_LIMIT', 'width'],
  [
    'parentheses without end',
    `{{${'('.repeat(5000)}1${')'.repeat(5000)}}}`,
    'TEMPLATE_LIMIT',
    '100',
  ],
  ['blocks without end', '{{if 1}}'.repeat(500) + '{{end}}'.repeat(500), 'TEMPLATE_LIMIT', '100'],
  [
    'else ifs without end',
    `{{if 0}}${'{{else if 0}}'.repeat(500)}{{end}}`,
    'TEMPLATE_LIMIT',
    '100',
  ],
];

describe('templates', () => {
  for (const [text, expected] of RENDERED) {
    it(`renders ${text}`, () => assert.equal(assertValue(render(text)), expected));
  }

  for (const [what, text, code, said] of REFUSED) {
    it(`refuses ${what}, and says where`, () => {
      const refused = render(text);
      assertRefused(refused, code);
      assert.match(!refused.ok ? refused.error.message : '', new RegExp(`line .*${said}|${said}`));
    });
  }

  it('has no pod where the data is that of a parent ID', () => {
    assertRefused(render('{{ .PodMeta.Name }}', TEMPLATE_DATA.parent), 'TEMPLATE_VALUE');
    assert.equal(assertValue(render('{{ .NodeMeta.UID }}', TEMPLATE_DATA.parent)), 'node-uid-a');
  });

  it('sees no properties that JavaScript adds to objects', () => {
    const data = { ...TEMPLATE_DATA.full, PodMeta: { labels: {} } };
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      assert.equal(assertValue(render(`{{ .PodMeta.Labels.${name} }}`, data)), '<no value>');
      assertRefused(render(`{{ .PodMeta.${name} }}`, data), 'TEMPLATE_VALUE');
    }
  });

  it('takes objects of the wrong shape for empty ones', () => {
    const data = { ...TEMPLATE_DATA.full, PodMeta: { name: 7, labels: [1], finalizers: 'x' } };
    const text = '{{.PodMeta.Name}}|{{len .PodMeta.Labels}}|{{len .PodMeta.Finalizers}}';
    assert.equal(assertValue(render(text, data)), '|0|0');
  });

  it('takes a template of the longest length, and none longer', () => {
    assertValue(render('x'.repeat(MAX_TEMPLATE_BYTES - 1)));
    assertValue(render('x'.repeat(MAX_TEMPLATE_BYTES)));
    assertRefused(render('x'.repeat(MAX_TEMPLATE_BYTES + 1)), 'TEMPLATE_LIMIT');
  });

  it('counts the bytes of what it renders', () => {
    const template = assertValue(parseTemplate('{{range 10}}é{{end}}'));
    const limited = (outputBytes: number): Result<string> =>
      renderTemplate(template, TEMPLATE_DATA.full, { ...TEMPLATE_LIMITS, outputBytes });
    assertRefused(limited(19), 'TEMPLATE_LIMIT');
    assertValue(limited(20));
    assertValue(limited(21));
  });

  it('counts its steps', () => {
    const template = assertValue(parseTemplate('x'));
    const limited = (steps: number): Result<string> =>
      renderTemplate(template, TEMPLATE_DATA.full, { ...TEMPLATE_LIMITS, steps });
    assertRefused(limited(0), 'TEMPLATE_LIMIT');
    assertValue(limited(1));
  });

  it('never throws, whatever it is given', () => {
    const pieces = fc.constantFrom(
      ...['{{', '}}', ' ', '-', '.', '$', '(', ')', '|', '"', '`', "'", '\\', ':=', '=', ','],
      ...[
        'if ',
        'end',
        'else',
        'range ',
        'with ',
        'define "a"',
        'template "a"',
        'index ',
        'printf "%',
      ],
      ...[
        'PodMeta',
        'Labels',
        '1',
        '0x',
        'é',
        '\0',
        '\ud800',
        '\n',
        '/*',
        '*/',
        'nil',
        '99999999999',
      ],
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 30 }).map((all) => all.join('')),
    );
    fc.assert(fc.property(texts, (text) => typeof render(text).ok === 'boolean'));
  });

  it('ends soon on what regular expressions choke on', () => {
    for (const text of ['{{ 1', '{{', ' ', '\n', '"', '\\', 'a', '0_', '%', '.', '/*']) {
      const hostile = `{{ "${text.repeat(4000)}`;
      assert.equal(render(hostile).ok, false);
      render(`${' '.repeat(16_000)}x{{- 1 -}}${' '.repeat(10)}`);
      render(`{{ printf "${text.repeat(3000)}" }}`);
    }
  });

  it('pays for what a value holds each time that it is looked at', () => {
    const keys = Array.from({ length: 2000 }, (_, at) => [`k${at}`, 'v']);
    const annotations = Object.fromEntries([...keys, ['long', 'x'.repeat(200_000)]]);
    const data = { ...TEMPLATE_DATA.full, PodMeta: { annotations } };
    const hostile = (action: string): Result<string> => {
      const template = assertValue(parseTemplate(`{{ $m := .PodMeta.Annotations }}${action}`));
      return renderTemplate(template, data);
    };
    for (const action of [
      '{{ len $m }}',
      '{{ if $m }}{{ end }}',
      '{{ if and $m $m }}{{ end }}',
      '{{ $x := not $m }}',
      '{{ range $m }}{{ break }}{{ end }}',
      '{{ $m | len }}',
      '{{ printf "%.1s" $m.long }}',
    ]) {
      assertValue(hostile(action));
      assertRefused(hostile(`{{ range 100 }}${action}{{ end }}`), 'TEMPLATE_LIMIT');
    }
  });

  it('reads a number of many digits once', () => {
    const steps = fc.constantFrom('i', 'x', '.', 'e');
    fc.assert(
      fc.property(steps, (end) => !render(`{{ ${'1'.repeat(16_000)}${end} }}`).ok),
      { numRuns: 20 },
    );
  });

  it('says the same of the corpus twice', () => {
    for (const text of TEMPLATES) {
      const [one, two] = [render(text), render(text)];
      assert.equal(one.ok ? one.value : one.error.message, two.ok ? two.value : two.error.message);
    }
  });
});
