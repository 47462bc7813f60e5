import { refuse } from '../../der/refuse.ts';
import { FUNCTION_NAMES } from './function-names.ts';
import { charOf, numberOf, unquote } from './literals.ts';
import type { Command, Operand, Pipe } from './nodes.ts';
import type { TokenReader } from './token-reader.ts';

/** Deepest nesting of parentheses and of control structures. */
export const MAX_NESTING = 100;

const STARTS: ReadonlySet<string> = new Set(
  'word dot field variable number char string raw ('.split(' '),
);

/** Words that are no functions and no values. */
export const KEYWORDS: ReadonlySet<string> = new Set(
  'block break continue define else end if range template with'.split(' '),
);

/** Names of the variables that are known at a place of the template. */
export type Scope = string[];

/** Reads a pipe up to the token that ends it. */
export function parsePipe(
  tokens: TokenReader,
  scope: Scope,
  where: string,
  end: 'close' | ')' = 'close',
  depth = 0,
): Pipe {
  const { line } = tokens.peekWord;
  if (depth > MAX_NESTING) {
    refuse('TEMPLATE_LIMIT', `line ${line}: more than ${MAX_NESTING} parentheses in one another`);
  }
  const declared = parseDeclaration(tokens, scope, where);
  const commands: Command[] = [];
  for (;;) {
    const token = tokens.peekWord;
    if (token.kind === end) break;
    if (!STARTS.has(token.kind)) tokens.unexpected(token, where);
    commands.push(parseCommand(tokens, scope, depth));
  }
  tokens.nextWord();
  if (commands.length === 0) refuse('TEMPLATE_SYNTAX', `line ${line}: ${where} has no value`);
  for (const { operands } of commands.slice(1)) {
    if (['bool', 'dot', 'nil', 'int', 'float', 'string'].includes(operands[0].kind)) {
      refuse('TEMPLATE_SYNTAX', `line ${line}: what follows "|" must be a function or a field`);
    }
  }
  return { line, ...declared, commands };
}

function parseDeclaration(
  tokens: TokenReader,
  scope: Scope,
  where: string,
): Pick<Pipe, 'variables' | 'assigns'> {
  const variables: string[] = [];
  for (;;) {
    const start = tokens.at;
    if (tokens.peekWord.kind !== 'variable') break;
    const variable = tokens.next();
    const next = tokens.peekWord;
    if (next.kind !== 'assign' && next.kind !== 'declare' && next.kind !== 'comma') {
      tokens.at = start;
      break;
    }
    tokens.next();
    variables.push(variable.text);
    scope.push(variable.text);
    if (next.kind !== 'comma') return { variables, assigns: next.kind === 'assign' };
    const follows = ['variable', 'close', ')'].includes(tokens.peekWord.kind);
    if (where !== 'range' || variables.length > 1 || !follows) {
      refuse('TEMPLATE_SYNTAX', `line ${variable.line}: too many variables in ${where}`);
    }
  }
  return { variables, assigns: false };
}

function parseCommand(tokens: TokenReader, scope: Scope, depth: number): Command {
  const { line } = tokens.peekWord;
  const operands: Operand[] = [];
  for (;;) {
    if (STARTS.has(tokens.peekWord.kind)) operands.push(parseOperand(tokens, scope, depth));
    const token = tokens.next();
    if (token.kind === 'space') continue;
    if (token.kind === 'close' || token.kind === ')') tokens.at -= 1;
    else if (token.kind !== 'pipe') tokens.unexpected(token, 'a command');
    break;
  }
  const [first, ...rest] = operands;
  if (first === undefined) refuse('TEMPLATE_SYNTAX', `line ${line}: a command is empty`);
  return { line, operands: [first, ...rest] };
}

function parseOperand(tokens: TokenReader, scope: Scope, depth: number): Operand {
  const of = parseTerm(tokens, scope, depth);
  const { line } = tokens.peek;
  const path: string[] = [];
  while (tokens.peek.kind === 'field') path.push(tokens.next().text.slice(1));
  if (path.length === 0) return of;
  switch (of.kind) {
    case 'field':
      return { kind: 'field', path: [...of.path, ...path] };
    case 'variable':
      return { ...of, path: [...of.path, ...path] };
    case 'function':
    case 'pipe':
      return { kind: 'chain', of, path };
    default:
      return refuse('TEMPLATE_SYNTAX', `line ${line}: a field of a constant`);
  }
}

function parseTerm(tokens: TokenReader, scope: Scope, depth: number): Operand {
  const token = tokens.next();
  const { text, line } = token;
  switch (token.kind) {
    case 'dot':
      return { kind: 'dot' };
    case 'field':
      return { kind: 'field', path: [text.slice(1)] };
    case 'number':
      return numberOf(text, line);
    case 'char':
      return charOf(text, line);
    case 'string':
    case 'raw':
      return { kind: 'string', value: unquote(text, line) };
    case '(':
      return { kind: 'pipe', pipe: parsePipe(tokens, scope, 'parentheses', ')', depth + 1) };
    case 'variable':
      if (scope.includes(text)) return { kind: 'variable', name: text, path: [] };
      return refuse('TEMPLATE_SYNTAX', `line ${line}: no variable ${text.slice(0, 80)} here`);
    case 'word':
      return parseWord(tokens, text, line);
    default:
      return tokens.unexpected(token, 'a command');
  }
}

function parseWord(tokens: TokenReader, text: string, line: number): Operand {
  if (text === 'true' || text === 'false') return { kind: 'bool', value: text === 'true' };
  if (text === 'nil') return { kind: 'nil' };
  if (KEYWORDS.has(text)) tokens.unexpected({ kind: 'word', text, line }, 'a command');
  if (!FUNCTION_NAMES.has(text)) {
    refuse('TEMPLATE_FUNCTION', `line ${line}: no function ${JSON.stringify(text.slice(0, 80))}`);
  }
  return { kind: 'function', name: text };
}
