import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LONGEST_TMPDIR = 60;

/** What must be gone at the end of a demo, in the order it was made. States: open → cleared. */
export class Stage {
  readonly #undo: (() => void | Promise<void>)[] = [];
  #cleared = false;
  /** All steps are done, and everything is left running. */
  kept = false;

  /** A folder that is removed at the end; in the temporary one unless told. */
  folder(parent: string = shortTmpdir()): string {
    const path = mkdtempSync(join(parent, 'signet-demo-'));
    this.#undo.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  /** Something that is stopped at the end; at once where the end has come. */
  async add<T extends { stop(): Promise<void> }>(part: T): Promise<T> {
    if (this.#cleared) await part.stop();
    else this.#undo.push(() => part.stop());
    return part;
  }

  /** Stops and removes everything, the latest first. */
  async clear(): Promise<void> {
    this.#cleared = true;
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo();
  }
}

/** A socket's path must be short, whatever TMPDIR says. */
function shortTmpdir(): string {
  return tmpdir().length <= LONGEST_TMPDIR ? tmpdir() : '/tmp';
}
