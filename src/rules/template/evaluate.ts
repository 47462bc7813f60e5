import { refuse } from '../../der/refuse.ts';
import { formatValue, NO_VALUE } from './format.ts';
import { FUNCTIONS } from './functions.ts';
import { gettersOf } from './getters.ts';
import type { Command, Node, Operand, ParsedTemplate, Pipe } from './nodes.ts';
import {
  boolValue,
  elementsOf,
  entryOf,
  floatValue,
  indirect,
  integerOf,
  intValue,
  isTrue,
  type MaybeValue,
  pairsOf,
  stringValue,
  textOf,
  type Value,
  valueFromJson,
  weightOf,
} from './values.ts';

/** Templates in one another, `{{template}}` calling itself too. */
const MAX_CALLS = 32;

/** What an evaluation may cost. */
export interface TemplateLimits {
  /** Nodes, operands and rounds of ranges; what an operand holds counts each time that it is looked at. */
  readonly steps: number;
  /** Longest text, the whole output and anything made on the way, in bytes. */
  readonly outputBytes: number;
}

interface Frame {
  readonly variables: { readonly name: string; value: MaybeValue }[];
  readonly calls: number;
}

type Flow = 'next' | 'break' | 'continue';

/** One evaluation of a template. Refuses by throwing, for `attempt`. */
export class Evaluation {
  readonly #template: ParsedTemplate;
  readonly #limits: TemplateLimits;
  #steps = 0;
  #line = 1;
  #output = '';
  #bytes = 0;

  constructor(template: ParsedTemplate, limits: TemplateLimits) {
    this.#template = template;
    this.#limits = limits;
  }

  /** Line of the template that was being evaluated when it was refused. */
  get line(): number {
    return this.#line;
  }

  run(data: Value): string {
    const frame: Frame = { variables: [{ name: '$', value: data }], calls: 0 };
    this.#walkAll(this.#template.nodes, data, frame);
    return this.#output;
  }

  #walkAll(nodes: readonly Node[], dot: MaybeValue, frame: Frame): Flow {
    for (const node of nodes) {
      const flow = this.#walk(node, dot, frame);
      if (flow !== 'next') return flow;
    }
    return 'next';
  }

  #walk(node: Node, dot: MaybeValue, frame: Frame): Flow {
    this.#step(node.line);
    switch (node.kind) {
      case 'text':
        this.#write(node.text);
        return 'next';
      case 'action': {
        const value = this.#pipe(node.pipe, dot, frame);
        if (node.pipe.variables.length === 0) this.#write(printed(value));
        return 'next';
      }
      case 'template':
        this.#call(node, dot, frame);
        return 'next';
      case 'break':
      case 'continue':
        return node.kind;
      default:
        return this.#control(node, dot, frame);
    }
  }

  #control(
    node: Extract<Node, { readonly kind: 'if' | 'with' | 'range' }>,
    dot: MaybeValue,
    frame: Frame,
  ): Flow {
    const known = frame.variables.length;
    const value = this.#pipe(node.pipe, dot, frame);
    this.#step(node.line, weightOf(value));
    const flow =
      node.kind === 'range'
        ? this.#range(node, value, dot, frame)
        : isTrue(value)
          ? this.#walkAll(node.body, node.kind === 'with' ? value : dot, frame)
          : this.#walkAll(node.otherwise, dot, frame);
    frame.variables.length = known;
    return flow;
  }

  #range(
    node: Extract<Node, { readonly kind: 'if' | 'with' | 'range' }>,
    over: MaybeValue,
    dot: MaybeValue,
    frame: Frame,
  ): Flow {
    const known = frame.variables.length;
    let rounds = 0;
    for (const [index, element] of this.#rounds(node.pipe, over)) {
      rounds += 1;
      this.#step(node.line);
      this.#bindRound(node.pipe, frame, index, element);
      const flow = this.#walkAll(node.body, element, frame);
      frame.variables.length = known;
      if (flow === 'break') break;
    }
    return rounds === 0 ? this.#walkAll(node.otherwise, dot, frame) : 'next';
  }

  *#rounds({ variables }: Pipe, over: MaybeValue): Generator<readonly [MaybeValue, Value]> {
    if (over === undefined) return;
    const value = indirect(over);
    switch (value.type.kind) {
      case 'slice':
        for (const [index, element] of elementsOf(value).entries())
          yield [intValue(index), element];
        return;
      case 'map':
        yield* pairsOf(value);
        return;
      case 'int':
      case 'uint':
        if (variables.length > 1) this.#refuse('a range over a number has no index');
        for (let at = 0n; at < integerOf(value); at += 1n) {
          yield [undefined, { type: value.type, data: at }];
        }
        return;
      default:
        this.#refuse(`a value of type ${value.type.name} has no range`);
    }
  }

  /** One variable is the element, of two the first is the index. */
  #bindRound(pipe: Pipe, frame: Frame, index: MaybeValue, element: Value): void {
    const { variables, assigns } = pipe;
    const values = variables.length > 1 ? [index, element] : [element];
    for (const [at, name] of variables.entries()) {
      if (assigns) this.#assign(name, values[at], frame);
      else {
        // The range's own variables, which its pipe has put on top.
        const own = frame.variables[frame.variables.length - variables.length + at];
        if (own !== undefined) own.value = values[at];
      }
    }
  }

  #call(
    node: Extract<Node, { readonly kind: 'template' }>,
    dot: MaybeValue,
    { calls, variables }: Frame,
  ): void {
    const nodes = this.#template.defined.get(node.name);
    if (nodes === undefined) this.#refuse(`no template ${JSON.stringify(node.name.slice(0, 80))}`);
    if (calls >= MAX_CALLS) {
      this.#refuse(`more than ${MAX_CALLS} templates in one another`, 'TEMPLATE_LIMIT');
    }
    const value = node.pipe && this.#pipe(node.pipe, dot, { calls, variables });
    this.#walkAll(nodes, value, { calls: calls + 1, variables: [{ name: '$', value }] });
  }

  #pipe(pipe: Pipe, dot: MaybeValue, frame: Frame): MaybeValue {
    this.#step(pipe.line);
    let value: MaybeValue;
    for (const [index, command] of pipe.commands.entries()) {
      value = this.#command(command, dot, frame, index === 0 ? [] : [value]);
    }
    for (const name of pipe.variables) {
      if (pipe.assigns) this.#assign(name, value, frame);
      else frame.variables.push({ name, value });
    }
    return value;
  }

  #assign(name: string, value: MaybeValue, { variables }: Frame): void {
    const variable = variables.findLast((known) => known.name === name);
    if (variable === undefined) this.#refuse(`no variable ${name} here`);
    variable.value = value;
  }

  #command(command: Command, dot: MaybeValue, frame: Frame, last: MaybeValue[]): MaybeValue {
    this.#step(command.line);
    const [first, ...rest] = command.operands;
    if (first.kind === 'function') return this.#invoke(first.name, rest, dot, frame, last);
    if (first.kind === 'nil') this.#refuse('nil is no command');
    if (rest.length > 0 || last.length > 0) {
      this.#refuse('arguments are given to something that is no function');
    }
    return this.#operand(first, dot, frame);
  }

  #invoke(
    name: string,
    operands: readonly Operand[],
    dot: MaybeValue,
    frame: Frame,
    last: readonly MaybeValue[],
  ): MaybeValue {
    if (name === 'and' || name === 'or') return this.#logic(name, operands, dot, frame, last);
    const known = FUNCTIONS.get(name);
    if (known === undefined) this.#refuse('call: no value here is a function');
    const count = operands.length + last.length;
    if (count < known.least || count > known.most) {
      this.#refuse(`${name} does not take ${count} arguments`);
    }
    const args = operands.map((operand) => this.#argument(operand, dot, frame));
    for (const value of last) this.#step(this.#line, weightOf(value));
    const value = known.run([...args, ...last]);
    if (value?.type.kind === 'string') this.#checkLength(Buffer.byteLength(textOf(value)));
    return value;
  }

  /** Stops at the first argument that decides. */
  #logic(
    name: 'and' | 'or',
    operands: readonly Operand[],
    dot: MaybeValue,
    frame: Frame,
    last: readonly MaybeValue[],
  ): MaybeValue {
    if (operands.length + last.length === 0) this.#refuse(`${name} needs an argument`);
    let value: MaybeValue;
    for (const operand of operands) {
      value = this.#argument(operand, dot, frame);
      if (isTrue(value) === (name === 'or')) return value;
    }
    return last.length > 0 ? last[0] : value;
  }

  #argument(operand: Operand, dot: MaybeValue, frame: Frame): MaybeValue {
    this.#step(this.#line);
    if (operand.kind === 'nil') return undefined;
    const value = this.#operand(operand, dot, frame);
    this.#step(this.#line, weightOf(value));
    return value;
  }

  #operand(operand: Operand, dot: MaybeValue, frame: Frame): MaybeValue {
    switch (operand.kind) {
      case 'dot':
        return dot;
      case 'nil':
        return undefined;
      case 'bool':
        return boolValue(operand.value);
      case 'int':
        return intValue(operand.value);
      case 'float':
        return floatValue(operand.value);
      case 'string':
        return stringValue(operand.value);
      case 'field':
        return this.#fields(dot, operand.path);
      case 'variable': {
        const variable = frame.variables.findLast(({ name }) => name === operand.name);
        if (variable === undefined) this.#refuse(`no variable ${operand.name} here`);
        return this.#fields(variable.value, operand.path);
      }
      case 'function':
        return this.#invoke(operand.name, [], dot, frame, []);
      case 'chain':
        return this.#fields(this.#operand(operand.of, dot, frame), operand.path);
      case 'pipe':
        return this.#pipe(operand.pipe, dot, frame);
    }
  }

  #fields(start: MaybeValue, path: readonly string[]): MaybeValue {
    let value = start;
    for (const name of path) value = this.#field(value, name);
    return value;
  }

  /** A field of nothing is nothing; an absent key of a map is nothing too (no missingkey option). */
  #field(receiver: MaybeValue, name: string): MaybeValue {
    if (receiver === undefined) return undefined;
    const value = indirect(receiver);
    const { type } = value;
    if (type.kind === 'pointer') {
      this.#refuse(`${name} of a nil ${type.name}`);
    }
    const field =
      type.kind === 'struct' ? (type.field(name) ?? gettersOf(type).get(name)) : undefined;
    if (field !== undefined) {
      const { json } = field;
      const data = value.data as Readonly<Record<string, unknown>>; // valueFromJson gives structs objects.
      return valueFromJson(field.type, json === '' ? data : own(data, json));
    }
    // A constant string is no value of a named type, so that such keys are not fields.
    if (type.kind === 'map' && type.key.name === 'string') return entryOf(value, name);
    return this.#refuse(`a value of type ${type.name} has no field ${name.slice(0, 80)}`);
  }

  #write(text: string): void {
    this.#bytes += Buffer.byteLength(text);
    this.#checkLength(this.#bytes);
    this.#output += text;
  }

  #checkLength(bytes: number): void {
    const { outputBytes } = this.#limits;
    if (bytes > outputBytes)
      this.#refuse(`more than ${outputBytes} bytes of text`, 'TEMPLATE_LIMIT');
  }

  #step(line: number, count = 1): void {
    this.#line = line;
    this.#steps += count;
    const { steps } = this.#limits;
    if (this.#steps > steps) this.#refuse(`more than ${steps} steps`, 'TEMPLATE_LIMIT');
  }

  #refuse(what: string, code: 'TEMPLATE_VALUE' | 'TEMPLATE_LIMIT' = 'TEMPLATE_VALUE'): never {
    refuse(code, what);
  }
}

function own(data: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(data, key) ? data[key] : undefined;
}

/** What an action shows: pointers stand for what they point at. */
function printed(value: MaybeValue): string {
  return value === undefined ? NO_VALUE : formatValue(indirect(value));
}
