/** Runs actions with the same key one after another, those with different keys at once. */
export type OneAtATime = <T>(key: string, action: () => Promise<T>) => Promise<T>;

/** Makes such a runner; a key costs memory only while something runs under it. */
export function oneAtATime(): OneAtATime {
  const last = new Map<string, Promise<unknown>>();
  return async (key, action) => {
    const before = last.get(key) ?? Promise.resolve();
    const mine = before.then(action, action);
    last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (last.get(key) === mine) last.delete(key);
    }
  };
}
