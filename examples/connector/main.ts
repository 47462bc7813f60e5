import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { Connector, type ConnectorOptions } from './connector.ts';
import type { Proof } from './enrol.ts';
import { Refused } from './wire.ts';

const USAGE = `node examples/connector/main.ts --server HOST:PORT --trust-domain NAME --bundle FILE
  --group NAME --state FOLDER [--listen HOST:PORT]
  [--keepalive-ms 30000] [--backoff-ms 1000] and one of
  --provisioning-key-file FILE [--token-file FILE]   a key that an operator made
  --token-file FILE                                  the pod's own token
  --bound-key-file FILE                              PEM of a key that an operator registered
  --svid-file FILE --svid-key-file FILE              an X.509-SVID, PEM
Prints what happens as lines of JSON. SIGTERM drains for 30 s at most, SIGINT ends at once.
`;

const { values } = readArgs({
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    server: { type: 'string' },
    'trust-domain': { type: 'string' },
    bundle: { type: 'string' },
    group: { type: 'string' },
    state: { type: 'string' },
    listen: { type: 'string', default: '127.0.0.1:0' },
    'keepalive-ms': { type: 'string', default: '30000' },
    'backoff-ms': { type: 'string', default: '1000' },
    'provisioning-key-file': { type: 'string' },
    'token-file': { type: 'string' },
    'bound-key-file': { type: 'string' },
    'svid-file': { type: 'string' },
    'svid-key-file': { type: 'string' },
  },
});

/** The flags; usage and the exit code 2 where there is one that is not known. */
function readArgs<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : ''}\n${USAGE}`);
    process.exit(2);
  }
}

const text = (path: string): string => readFileSync(path, 'utf8').trim();

function proofOf(): Proof | undefined {
  const tokenPath = values['token-file'];
  if (values['provisioning-key-file'] !== undefined) {
    const key = text(values['provisioning-key-file']);
    return { kind: 'provisioning-key', key, ...(tokenPath === undefined ? {} : { tokenPath }) };
  }
  if (tokenPath !== undefined) return { kind: 'kubernetes-token', tokenPath };
  if (values['bound-key-file'] !== undefined) {
    return { kind: 'bound-key', key: createPrivateKey(text(values['bound-key-file'])) };
  }
  const [cert, key] = [values['svid-file'], values['svid-key-file']];
  if (cert === undefined || key === undefined) return undefined;
  return { kind: 'x509-svid', shown: { cert: text(cert), key: text(key) } };
}

function optionsOf(): ConnectorOptions | undefined {
  const { server, 'trust-domain': trustDomain, bundle, group, state, listen } = values;
  const proof = proofOf();
  if (server === undefined || trustDomain === undefined || bundle === undefined) return undefined;
  if (group === undefined || state === undefined || proof === undefined) return undefined;
  const certificates = text(bundle).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
  const authorities = certificates.map((pem) => new X509Certificate(pem));
  const colon = listen.lastIndexOf(':');
  return {
    ...{ server, trustDomain, group, proof, state },
    authorities: new Map([[trustDomain, authorities]]),
    listen: { host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) },
    keepaliveMs: Number(values['keepalive-ms']),
    backoffMs: Number(values['backoff-ms']),
    nowMs: Date.now,
    say: (event, detail) => process.stdout.write(`${JSON.stringify({ event, ...detail })}\n`),
  };
}

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const options = optionsOf();
  if (options === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    const connector = await Connector.start(options);
    options.say('listening', { port: await connector.serving.listen() });
    process.once('SIGTERM', () => connector.drain(Date.now() + 30_000));
    process.once('SIGINT', () => connector.close());
    const ended = await connector.run();
    options.say('ended', { how: ended });
    return ended === 'revoked' ? 3 : 0;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    options.say('refused', { code: error.code, message: error.message });
    return 1;
  }
}

process.exitCode = await main();
