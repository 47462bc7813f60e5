import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { type Finished, run } from '../support/processes.ts';
import { build, buildDir, has } from './build.ts';

/** A program from a Go module, built once from `test/peers/<name>/go.mod`. */
export interface GoTool {
  /** Why it cannot be had; undefined when it is there. */
  readonly missing: string | undefined;
  run(args: readonly string[], input?: string): Promise<Finished>;
}

/** Builds a tool that the folder's go.mod names. Takes minutes the first time. */
export async function goTool(
  folder: string,
  program: string,
  tags: readonly string[] = [],
): Promise<GoTool> {
  const binary = join(buildDir(folder), folder);
  // Two test files may build at once: each its own, and whole ones only bear the name.
  const made = `${binary}.${process.pid}`;
  const args = ['build', '-trimpath', '-ldflags=-s -w', `-tags=${tags.join(',')}`, '-o', made];
  async function prepare(): Promise<string | undefined> {
    if (existsSync(binary)) return undefined;
    if (!(await has('go'))) return 'go is not installed';
    const built = await build([['go', [...args, program], join('test/peers', folder)]]);
    if (built.missing === undefined) renameSync(made, binary);
    return built.missing;
  }
  const missing = await prepare();
  return { missing, run: (given, input = '') => run(binary, given, { input }) };
}

/** Where the sources of a module are that the folder's go.mod names; undefined where they cannot be had. */
export async function goModule(folder: string, module: string): Promise<string | undefined> {
  const cwd = join('test/peers', folder);
  const { code, stdout } = await run('go', ['mod', 'download', '-json', module], { cwd });
  const said: unknown = code === 0 ? JSON.parse(stdout) : undefined;
  const dir = Object(said) as { readonly Dir?: string };
  return dir.Dir;
}
