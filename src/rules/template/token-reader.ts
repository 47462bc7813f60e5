import { refuse } from '../../der/refuse.ts';
import type { Token } from './lexer.ts';

const END: Token = { kind: 'end of template', text: '', line: 0 };

/** Tokens one after the other, with a place to come back to. */
export class TokenReader {
  readonly #tokens: readonly Token[];
  /** Index of the next token; may be set back. */
  at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** The next token, which stays. */
  get peek(): Token {
    return this.#tokens[this.at] ?? this.#tokens.at(-1) ?? END;
  }

  /** Takes the next token. */
  next(): Token {
    const token = this.peek;
    this.at += 1;
    return token;
  }

  /** The next token that is no space; spaces before it are gone. */
  get peekWord(): Token {
    while (this.peek.kind === 'space') this.at += 1;
    return this.peek;
  }

  /** Takes the next token that is no space. */
  nextWord(): Token {
    const token = this.peekWord;
    this.at += 1;
    return token;
  }

  /** Takes the end of an action. */
  expectClose(where: string): void {
    const token = this.nextWord();
    if (token.kind !== 'close') this.unexpected(token, where);
  }

  /** Refuses a token that has no place here. */
  unexpected({ kind, text, line }: Token, where: string): never {
    const shown = kind === 'end of template' ? kind : JSON.stringify(text.slice(0, 80));
    refuse('TEMPLATE_SYNTAX', `line ${line}: unexpected ${shown} in ${where}`);
  }
}
