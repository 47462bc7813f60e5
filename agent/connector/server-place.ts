/** Host and port of a server. */
export interface ServerPlace {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, the host in brackets where it is an IPv6 address; undefined where it is neither. */
export function parseServerPlace(text: string): ServerPlace | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

/** The server of the n-th try: those that the enrolment named in turn, then the configured one. */
export function chooseServer(
  named: readonly string[],
  configured: { readonly address: string; readonly port: number },
  tries: number,
): ServerPlace {
  const own = { host: configured.address, port: configured.port };
  const places = named.map(parseServerPlace).filter((place) => place !== undefined);
  const all = [...places, own];
  return all[tries % all.length] ?? own;
}
