import { refuse } from '../../der/refuse.ts';
import { lex } from './lexer.ts';
import { unquote } from './literals.ts';
import type { Node, ParsedTemplate } from './nodes.ts';
import { KEYWORDS, MAX_NESTING, parsePipe, type Scope } from './pipes.ts';
import { TokenReader } from './token-reader.ts';

/** What ended a list of nodes. */
type Stop = { readonly word: 'end' | 'else'; readonly line: number };

/** Parses a template; refuses by throwing, for `attempt`. */
export function parseNodes(template: string): ParsedTemplate {
  const parser = new Parser(template);
  return { nodes: parser.parse(), defined: parser.defined };
}

class Parser {
  readonly defined = new Map<string, readonly Node[]>();
  readonly #tokens: TokenReader;
  #scope: Scope = ['$'];
  #ranges = 0;
  #depth = 0;

  constructor(template: string) {
    this.#tokens = new TokenReader(lex(template));
  }

  parse(): readonly Node[] {
    const nodes: Node[] = [];
    while (this.#tokens.peek.kind !== 'end of template') {
      if (this.#takeDefinition()) continue;
      const node = this.#node();
      if ('word' in node) {
        refuse('TEMPLATE_SYNTAX', `line ${node.line}: {{${node.word}}} without a beginning`);
      }
      nodes.push(node);
    }
    return nodes;
  }

  /** `{{define "name"}}…{{end}}`, which may stand at the top only. */
  #takeDefinition(): boolean {
    const start = this.#tokens.at;
    const isOpen = this.#tokens.next().kind === 'open';
    const word = this.#tokens.peekWord;
    if (!isOpen || word.kind !== 'word' || word.text !== 'define') {
      this.#tokens.at = start;
      return false;
    }
    this.#tokens.next();
    const name = this.#name('define');
    this.#tokens.expectClose('define');
    this.#define(name, word.line);
    return true;
  }

  #define(name: string, line: number): void {
    const [scope, ranges] = [this.#scope, this.#ranges];
    [this.#scope, this.#ranges] = [['$'], 0];
    const { nodes, stop } = this.#list();
    if (stop.word !== 'end')
      refuse('TEMPLATE_SYNTAX', `line ${stop.line}: {{else}} in a definition`);
    [this.#scope, this.#ranges] = [scope, ranges];
    const before = this.defined.get(name);
    if (before === undefined || before.every(isBlank)) this.defined.set(name, nodes);
    else if (!nodes.every(isBlank)) {
      refuse(
        'TEMPLATE_SYNTAX',
        `line ${line}: ${JSON.stringify(name.slice(0, 80))} is defined twice`,
      );
    }
  }

  #name(where: string): string {
    const token = this.#tokens.nextWord();
    if (token.kind === 'string' || token.kind === 'raw') return unquote(token.text, token.line);
    return this.#tokens.unexpected(token, where);
  }

  /** Up to `{{end}}` or `{{else}}`. */
  #list(): { readonly nodes: readonly Node[]; readonly stop: Stop } {
    this.#depth += 1;
    if (this.#depth > MAX_NESTING) {
      const { line } = this.#tokens.peek;
      refuse('TEMPLATE_LIMIT', `line ${line}: more than ${MAX_NESTING} blocks in one another`);
    }
    const nodes: Node[] = [];
    for (;;) {
      const node = this.#node();
      if ('word' in node) {
        this.#depth -= 1;
        return { nodes, stop: node };
      }
      nodes.push(node);
    }
  }

  #node(): Node | Stop {
    const token = this.#tokens.next();
    if (token.kind === 'text') return { kind: 'text', line: token.line, text: token.text };
    if (token.kind !== 'open') this.#tokens.unexpected(token, 'the template: {{end}} is missing');
    const word = this.#tokens.peekWord;
    if (word.kind !== 'word' || !KEYWORDS.has(word.text)) {
      return { kind: 'action', line: word.line, pipe: this.#pipe('an action') };
    }
    this.#tokens.next();
    return this.#keyword(word.text, word.line);
  }

  #keyword(text: string, line: number): Node | Stop {
    switch (text) {
      case 'if':
      case 'with':
      case 'range':
        return this.#control(text, line);
      case 'end':
        this.#tokens.expectClose('end');
        return { word: text, line };
      case 'else':
        return this.#else(line);
      case 'template':
        return this.#template(line);
      case 'block':
        return this.#block(line);
      case 'break':
      case 'continue':
        this.#tokens.expectClose(text);
        if (this.#ranges > 0) return { kind: text, line };
        return refuse('TEMPLATE_SYNTAX', `line ${line}: {{${text}}} outside of a range`);
      default:
        return refuse('TEMPLATE_SYNTAX', `line ${line}: {{${text}}} has no place here`);
    }
  }

  #else(line: number): Stop {
    const { kind, text } = this.#tokens.peekWord;
    // `else if` and `else with` leave their second word, which #otherwise takes.
    const chained = kind === 'word' && (text === 'if' || text === 'with');
    if (!chained) this.#tokens.expectClose('else');
    return { word: 'else', line };
  }

  #control(kind: 'if' | 'with' | 'range', line: number): Node {
    const known = this.#scope.length;
    const pipe = this.#pipe(kind);
    if (kind === 'range') this.#ranges += 1;
    const { nodes: body, stop } = this.#list();
    if (kind === 'range') this.#ranges -= 1;
    const otherwise = stop.word === 'else' ? this.#otherwise(kind) : [];
    this.#scope.length = known;
    return { kind, line, pipe, body, otherwise };
  }

  #otherwise(kind: 'if' | 'with' | 'range'): readonly Node[] {
    const { peek } = this.#tokens;
    if (peek.kind === 'word' && peek.text === kind && kind !== 'range') {
      this.#tokens.next();
      this.#depth += 1;
      const nested = this.#control(kind, peek.line);
      this.#depth -= 1;
      return [nested];
    }
    const { nodes, stop } = this.#list();
    if (stop.word === 'end') return nodes;
    return refuse('TEMPLATE_SYNTAX', `line ${stop.line}: a second {{else}}`);
  }

  #template(line: number): Node {
    const name = this.#name('template');
    if (this.#tokens.peekWord.kind !== 'close') {
      return { kind: 'template', line, name, pipe: this.#pipe('template') };
    }
    this.#tokens.next();
    return { kind: 'template', line, name, pipe: undefined };
  }

  #block(line: number): Node {
    const name = this.#name('block');
    const pipe = this.#pipe('block');
    this.#define(name, line);
    return { kind: 'template', line, name, pipe };
  }

  #pipe(where: string) {
    return parsePipe(this.#tokens, this.#scope, where);
  }
}

/** Whether a list shows nothing: such a definition may be replaced. */
function isBlank(node: Node): boolean {
  return node.kind === 'text' && node.text.trim() === '';
}
