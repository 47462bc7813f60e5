import { refuse } from '../../der/refuse.ts';

/** Kinds of what an action is made of. */
export type TokenKind =
  | 'text'
  | 'open'
  | 'close'
  | 'space'
  | 'word'
  | 'field'
  | 'variable'
  | 'dot'
  | 'number'
  | 'char'
  | 'string'
  | 'raw'
  | 'pipe'
  | 'assign'
  | 'declare'
  | 'comma'
  | '('
  | ')'
  | 'end of template';

/** One of them, as it stands in the template. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
}

const SPACE = /^[ \t\r\n]/;
const WORD = /[\p{L}\p{Nd}_]/u;
/** What may follow a word, a field or a variable. */
const AFTER_WORD = /^(?:$|[ \t\r\n.,|:)(]|\}\})/;

const PUNCTUATION: ReadonlyMap<string, TokenKind> = new Map<string, TokenKind>([
  ['|', 'pipe'],
  ['=', 'assign'],
  [',', 'comma'],
  ['(', '('],
  [')', ')'],
]);

/** Cuts a template into tokens, trim markers and comments already worked off (text/template). */
export function lex(template: string): readonly Token[] {
  return new Lexer(template).run();
}

class Lexer {
  readonly #input: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  #depth = 0;

  constructor(input: string) {
    this.#input = input;
  }

  run(): readonly Token[] {
    for (;;) {
      const open = this.#input.indexOf('{{', this.#at);
      if (open === -1) break;
      this.#text(open);
      this.#action();
    }
    this.#push('text', this.#input.length);
    this.#tokens.push({ kind: 'end of template', text: '', line: this.#line });
    return this.#tokens;
  }

  #text(open: number): void {
    const trims = /^-[ \t\r\n]/.test(this.#input.slice(open + 2, open + 4));
    let end = open;
    while (trims && end > this.#at && SPACE.test(this.#input[end - 1] ?? '')) end -= 1;
    this.#push('text', end);
    this.#skip(open);
  }

  #action(): void {
    const marker = /^-[ \t\r\n]/.test(this.#input.slice(this.#at + 2, this.#at + 4)) ? 2 : 0;
    if (this.#input.startsWith('/*', this.#at + 2 + marker)) {
      this.#comment(this.#at + 2 + marker);
      return;
    }
    this.#push('open', this.#at + 2);
    this.#skip(this.#at + marker);
    this.#depth = 0;
    while (!this.#close()) this.#inside();
  }

  #comment(start: number): void {
    const end = this.#input.indexOf('*/', start + 2);
    if (end === -1) this.#refuse('a comment has no end');
    this.#skip(end + 2);
    const closing = this.#closing(this.#at);
    if (closing === undefined) this.#refuse('a comment ends before its action does');
    this.#skip(closing.end);
  }

  /** Takes the end of the action, if it stands here. */
  #close(): boolean {
    const closing = this.#closing(this.#at);
    if (closing === undefined) return false;
    if (this.#depth > 0) this.#refuse('a parenthesis is not closed');
    this.#tokens.push({ kind: 'close', text: '}}', line: this.#line });
    this.#skip(closing.end);
    return true;
  }

  #closing(at: number): { readonly end: number } | undefined {
    const trims = /^[ \t\r\n]-\}\}/.test(this.#input.slice(at, at + 4));
    if (!trims) return this.#input.startsWith('}}', at) ? { end: at + 2 } : undefined;
    const rest = /[^ \t\r\n]/g;
    rest.lastIndex = at + 4;
    return { end: rest.exec(this.#input)?.index ?? this.#input.length };
  }

  #inside(): void {
    const char = this.#input[this.#at];
    if (char === undefined) this.#refuse('an action is not closed by }}');
    if (SPACE.test(char)) this.#spaces();
    else if (char === '"' || char === "'") this.#quoted(char);
    else if (char === '`') this.#raw();
    else if (char === ':') this.#declare();
    else if (char === '$') this.#name('variable');
    else if (char === '.' && !/[0-9]/.test(this.#input[this.#at + 1] ?? '')) this.#field();
    else if (/[-+.0-9]/.test(char)) this.#number();
    else if (WORD.test(String.fromCodePoint(this.#input.codePointAt(this.#at) ?? 0))) {
      this.#name('word');
    } else this.#punctuation(char);
  }

  #punctuation(char: string): void {
    const kind = PUNCTUATION.get(char);
    if (kind === undefined) this.#refuse(`${JSON.stringify(char)} has no meaning in an action`);
    if (kind === '(') this.#depth += 1;
    if (kind === ')' && --this.#depth < 0)
      this.#refuse('a parenthesis is closed that was not open');
    this.#push(kind, this.#at + 1);
  }

  /** Up to a closing trim marker, whose space belongs to it. */
  #spaces(): void {
    let end = this.#at;
    while (SPACE.test(this.#input[end] ?? '') && !this.#trimsAt(end)) end += 1;
    if (end > this.#at) this.#push('space', end);
  }

  #trimsAt(at: number): boolean {
    return /^[ \t\r\n]-\}\}/.test(this.#input.slice(at, at + 4));
  }

  #quoted(quote: string): void {
    let end = this.#at + 1;
    for (; this.#input[end] !== quote; end += 1) {
      const char = this.#input[end] === '\\' ? this.#input[++end] : this.#input[end];
      if (char === undefined || char === '\n') this.#refuse('a quoted text is not ended');
    }
    this.#push(quote === '"' ? 'string' : 'char', end + 1);
  }

  #raw(): void {
    const end = this.#input.indexOf('`', this.#at + 1);
    if (end === -1) this.#refuse('a raw quoted text is not ended');
    this.#push('raw', end + 1);
  }

  #declare(): void {
    if (this.#input[this.#at + 1] !== '=') this.#refuse('after ":" must follow "="');
    this.#push('declare', this.#at + 2);
  }

  /** `.Field`, or the dot alone. */
  #field(): void {
    const follows = String.fromCodePoint(this.#input.codePointAt(this.#at + 1) ?? 0);
    if (WORD.test(follows)) this.#name('field');
    else this.#push('dot', this.#at + 1);
  }

  /** A word, or a field or variable with its mark. */
  #name(kind: 'word' | 'field' | 'variable'): void {
    const length = kind === 'word' ? 0 : 1;
    const name = /^[\p{L}\p{Nd}_]*/u.exec(this.#input.slice(this.#at + length))?.[0] ?? '';
    const end = this.#at + length + name.length;
    if (!AFTER_WORD.test(this.#input.slice(end, end + 2))) {
      this.#refuse(`${JSON.stringify(this.#input[end])} must not follow a name`);
    }
    this.#push(kind, end);
  }

  #number(): void {
    const number =
      /^[-+]?(?:0[xX][0-9a-fA-F_]*|[0-9_]*)(?:\.[0-9a-fA-F_]*)?(?:[eEpP][-+]?[0-9_]*)?/;
    const text = number.exec(this.#input.slice(this.#at))?.[0] ?? '';
    const rest = /^[\p{L}\p{Nd}_]*/u.exec(this.#input.slice(this.#at + text.length))?.[0] ?? '';
    this.#push('number', this.#at + Math.max(1, text.length + rest.length));
  }

  #push(kind: TokenKind, end: number): void {
    const text = this.#input.slice(this.#at, end);
    if (text !== '') this.#tokens.push({ kind, text, line: this.#line });
    this.#skip(end);
  }

  #skip(end: number): void {
    for (let at = this.#at; at < end; at += 1) if (this.#input[at] === '\n') this.#line += 1;
    this.#at = end;
  }

  #refuse(what: string): never {
    refuse('TEMPLATE_SYNTAX', `line ${this.#line}: ${what}`);
  }
}
