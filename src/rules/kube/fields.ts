import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { parseTrustDomain, type TrustDomain } from '../../spiffe/trust-domain.ts';
import { parseTemplate, type Template } from '../template/template.ts';
import { isRecord } from '../template/values.ts';
import { parseGoDuration } from './go-duration.ts';

/** An object of JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Most templates, or values, of one field of a rule. */
const MAX_ITEMS = 64;

/** Shared by the readers of one rule. */
interface Problems {
  problem: Failed | undefined;
}

/**
 * Reads fields of a rule, each of which may be absent. The first that is not as it should be is what
 * {@link FieldReader.answer} fails with; what is read after it does not count.
 */
export class FieldReader {
  readonly #object: JsonObject;
  readonly #path: string;
  readonly #problems: Problems;

  constructor(object: JsonObject, path = 'spec', problems: Problems = { problem: undefined }) {
    this.#object = object;
    this.#path = path;
    this.#problems = problems;
  }

  /** `value` when every field read so far is fine. */
  answer<T>(value: T): Result<T> {
    return this.#problems.problem ?? ok(value);
  }

  /** Refuses the whole; the first refusal stands. */
  refuse(key: string, why: string): void {
    this.#problems.problem ??= fail('RULE_SPEC', `${this.#path}.${key} ${why}`);
  }

  text(key: string): string {
    const value = this.#own(key);
    if (value === undefined || typeof value === 'string') return value ?? '';
    this.refuse(key, 'is no text');
    return '';
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === '') this.refuse(key, 'is missing');
    return value;
  }

  flag(key: string): boolean {
    const value = this.#own(key);
    if (value === undefined || typeof value === 'boolean') return value ?? false;
    this.refuse(key, 'is neither true nor false');
    return false;
  }

  /** A whole number from 0 on; 0 where it is absent. */
  count(key: string): number {
    const value = this.#own(key) ?? 0;
    if (isCount(value)) return value;
    this.refuse(key, 'is no whole number');
    return 0;
  }

  /** Whole numbers from 0 on. */
  counts(key: string): readonly number[] {
    const values = this.#own(key) ?? [];
    if (Array.isArray(values) && values.length <= MAX_ITEMS && values.every(isCount)) return values;
    this.refuse(key, `is no list of at most ${MAX_ITEMS} whole numbers`);
    return [];
  }

  texts(key: string): readonly string[] {
    const values = this.#own(key) ?? [];
    const fine = Array.isArray(values) && values.every((value) => typeof value === 'string');
    if (fine && values.length <= MAX_ITEMS) return values;
    this.refuse(key, fine ? `has more than ${MAX_ITEMS} values` : 'is no list of texts');
    return [];
  }

  /** Seconds of a duration as Go writes it, such as `1h30m`; 0 where it is absent. */
  seconds(key: string): number {
    const text = this.text(key);
    if (text === '') return 0;
    const seconds = parseGoDuration(text);
    if (seconds !== undefined && seconds >= 0) return Math.floor(seconds);
    this.refuse(key, `${JSON.stringify(text.slice(0, 80))} is no duration such as 1h30m`);
    return 0;
  }

  trustDomains(key: string): readonly TrustDomain[] {
    return this.texts(key).flatMap((name) => {
      const domain = parseTrustDomain(name);
      if (domain.ok) return [domain.value];
      this.refuse(key, domain.error.message);
      return [];
    });
  }

  template(key: string): Template | undefined {
    return this.#parsed(key, this.required(key));
  }

  templates(key: string): readonly Template[] {
    return this.texts(key).flatMap((text, index) => this.#parsed(`${key}[${index}]`, text) ?? []);
  }

  /** A reader of an object within; undefined where it is absent. */
  object(key: string): FieldReader | undefined {
    const value = this.#own(key);
    if (value === undefined) return undefined;
    if (isRecord(value)) return new FieldReader(value, `${this.#path}.${key}`, this.#problems);
    this.refuse(key, 'is no object');
    return undefined;
  }

  objects(key: string): readonly FieldReader[] {
    const values = this.#own(key) ?? [];
    if (!Array.isArray(values) || values.length > MAX_ITEMS || !values.every(isRecord)) {
      this.refuse(key, `is no list of at most ${MAX_ITEMS} objects`);
      return [];
    }
    return values.map(
      (value, index) => new FieldReader(value, `${this.#path}.${key}[${index}]`, this.#problems),
    );
  }

  /** Keys and texts, such as labels. */
  textMap(key: string): readonly (readonly [string, string])[] {
    const reader = this.object(key);
    if (reader === undefined) return [];
    return Object.keys(reader.#object).map((name) => [name, reader.text(name)]);
  }

  #parsed(key: string, text: string): Template | undefined {
    const template = parseTemplate(text);
    if (template.ok) return template.value;
    const { code, message } = template.error;
    this.#problems.problem ??= fail(code, `${this.#path}.${key}: ${message}`);
    return undefined;
  }

  /** A null counts as absent, as it does for Kubernetes. */
  #own(key: string): unknown {
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? undefined) : undefined;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
