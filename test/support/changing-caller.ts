import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { argv, getuid, setgid, setgroups, setuid } from 'node:process';
import { SpiffeWorkloadAPIService } from '../../src/gen/workload.ts';

/**
 * A program for tests: asks for its JWT-SVIDs, takes on another uid for good, and asks again on the
 * same connection. Prints the SPIFFE IDs of each answer, or its status.
 */
const [, , socketPath = '', uid = ''] = argv;
const { fetchJwtsvid } = SpiffeWorkloadAPIService;

const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });

function ask(): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const call = session.request({
    ':method': 'POST',
    ':path': fetchJwtsvid.path,
    'content-type': 'application/grpc',
    te: 'trailers',
    'workload.spiffe.io': 'true',
  });
  const message = fetchJwtsvid.requestSerialize({ audience: ['test'], spiffeId: '' });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  call.end(Buffer.concat([prefix, message]));
  const chunks: Buffer[] = [];
  let status: unknown;
  call.on('response', (headers) => {
    status ??= headers['grpc-status'];
  });
  call.on('trailers', (trailers) => {
    status ??= trailers['grpc-status'];
  });
  call.on('data', (chunk: Buffer) => chunks.push(chunk));
  call.on('error', reject);
  call.on('end', () => {
    if (status !== '0') return resolve(`status ${status}`);
    const { svids } = fetchJwtsvid.responseDeserialize(Buffer.concat(chunks).subarray(5));
    resolve(svids.map(({ spiffeId }) => spiffeId).join(' '));
  });
  return promise;
}

const before = await ask();
setgroups?.([]);
setgid?.(Number(uid));
setuid?.(Number(uid));
const after = await ask();
process.stdout.write(`${JSON.stringify({ before, after, uid: getuid?.() })}\n`);
session.destroy();
