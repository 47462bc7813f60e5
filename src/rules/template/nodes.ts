/** One step of a template. */
export type Node =
  | { readonly kind: 'text'; readonly line: number; readonly text: string }
  | { readonly kind: 'action'; readonly line: number; readonly pipe: Pipe }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly line: number;
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | {
      readonly kind: 'template';
      readonly line: number;
      readonly name: string;
      readonly pipe: Pipe | undefined;
    }
  | { readonly kind: 'break' | 'continue'; readonly line: number };

/** Commands, each with the value of the one before as its last argument. */
export interface Pipe {
  readonly line: number;
  /** Variables that take the value; two in a range: index and element. */
  readonly variables: readonly string[];
  /** Whether they exist already. */
  readonly assigns: boolean;
  readonly commands: readonly Command[];
}

/** An operand alone, or a function with its arguments. */
export interface Command {
  readonly line: number;
  readonly operands: readonly [Operand, ...Operand[]];
}

/** What stands for a value. */
export type Operand =
  | { readonly kind: 'dot' | 'nil' }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'field'; readonly path: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'chain'; readonly of: Operand; readonly path: readonly string[] }
  | { readonly kind: 'pipe'; readonly pipe: Pipe };

/** A template with the templates that it defines, by name. */
export interface ParsedTemplate {
  readonly nodes: readonly Node[];
  readonly defined: ReadonlyMap<string, readonly Node[]>;
}
