/**
 * Address of a worker thread's entry: the source beside its caller when sources run, the bundle of
 * the same name when bundles run. The bundler makes one entry for each `*-worker.ts`.
 *
 * @param name File name without its ending, such as `sign-worker`.
 * @param callerUrl The caller's `import.meta.url`.
 */
export function workerUrl(name: string, callerUrl: string): URL {
  return new URL(callerUrl.endsWith('.ts') ? `./${name}.ts` : `./${name}.js`, callerUrl);
}
