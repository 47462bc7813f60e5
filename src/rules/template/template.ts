import { fail, ok, type Result } from '../../base/result.ts';
import { attempt } from '../../der/refuse.ts';
import { Evaluation, type TemplateLimits } from './evaluate.ts';
import { goType } from './go-types.ts';
import type { ParsedTemplate } from './nodes.ts';
import { parseNodes } from './parser.ts';
import { valueFromJson } from './values.ts';

declare const brand: unique symbol;

/** A template, parsed once; exists only through {@link parseTemplate}. */
export interface Template {
  /** As it was written. */
  readonly text: string;
  readonly parsed: ParsedTemplate;
  readonly [brand]: true;
}

/** Longest template in bytes. */
export const MAX_TEMPLATE_BYTES = 16 * 1024;

/** What the evaluation of one template may cost. */
export const TEMPLATE_LIMITS: TemplateLimits = { steps: 10_000, outputBytes: 16 * 1024 };

/** What templates of rules see, each as the JSON of its Kubernetes object; absent is Go's nil. */
export interface TemplateData {
  readonly TrustDomain: string;
  readonly ClusterName: string;
  readonly ClusterDomain: string;
  /** `metadata` of the pod; absent for parent IDs. */
  readonly PodMeta?: unknown;
  /** `spec` of the pod; absent for parent IDs. */
  readonly PodSpec?: unknown;
  readonly NodeMeta?: unknown;
  readonly NodeSpec?: unknown;
}

/**
 * Parses a template in the language of Go's text/template. Fails with TEMPLATE_SYNTAX,
 * TEMPLATE_FUNCTION, TEMPLATE_UNSUPPORTED or TEMPLATE_LIMIT; the message names the line.
 */
export function parseTemplate(text: string): Result<Template> {
  if (Buffer.byteLength(text) > MAX_TEMPLATE_BYTES) {
    return fail('TEMPLATE_LIMIT', `line 1: a template of more than ${MAX_TEMPLATE_BYTES} bytes`);
  }
  const parsed = attempt('a template', () => parseNodes(text));
  if (!parsed.ok) return parsed;
  // The brand exists for the compiler only.
  return ok(Object.freeze({ text, parsed: parsed.value }) as Template);
}

/**
 * Renders a template over a pod and its node as Go does without a missingkey option. Fails with
 * TEMPLATE_VALUE, TEMPLATE_UNSUPPORTED or TEMPLATE_LIMIT; the message names the line.
 */
export function renderTemplate(
  template: Template,
  data: TemplateData,
  limits: TemplateLimits = TEMPLATE_LIMITS,
): Result<string> {
  const evaluation = new Evaluation(template.parsed, limits);
  const root = valueFromJson(goType('main.templateData'), data);
  const rendered = attempt('a template', () => evaluation.run(root));
  if (rendered.ok) return rendered;
  const { code, message, cause } = rendered.error;
  return fail(code, `line ${evaluation.line}: ${message}`, { cause });
}
