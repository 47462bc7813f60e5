import { parentPort, workerData } from 'node:worker_threads';
import type { FromThread, TokenPlace, TokenRequest, ToThread } from './pkcs11-protocol.ts';
import { isGone, NOT_LOGGED_IN, returnValueOf, Token } from './pkcs11-token.ts';

/** A thread that calls a PKCS#11 library: its calls block, and a device may take its time. */

// Given by the pool, which is ours.
const place = workerData as TokenPlace;
let token: Token | undefined;

async function open(): Promise<Token> {
  // A CommonJS package: what it exports is the default.
  const { default: pkcs11js } = await import('pkcs11js');
  const library = new pkcs11js.PKCS11();
  library.load(place.module);
  return new Token(library, place);
}

function serve(open: Token, request: TokenRequest): unknown {
  switch (request.kind) {
    case 'find':
      return open.find();
    case 'generate':
      return open.generate(request.type, request.label, request.id);
    case 'sign':
      return open.sign(request);
    case 'find-secrets':
      return open.findSecrets(request.label);
    case 'generate-secret':
      return open.generateSecret(request.label, request.id);
    case 'mac':
      return open.mac(request.label, request.id, request.message);
    case 'destroy':
      for (const handle of request.handles) open.destroy(handle);
      return undefined;
  }
}

async function answer({ job, request }: ToThread): Promise<FromThread> {
  try {
    token ??= await open();
    return { job, value: serve(token, request) };
  } catch (thrown) {
    const refused = returnValueOf(thrown);
    // Logged out, private keys are as good as gone: libraries say so of the key, not of the login.
    const rv = isGone(refused) && token?.loggedIn === false ? NOT_LOGGED_IN : refused;
    // A session that is gone is opened anew with the next call; what else went wrong, may be it too.
    if (token !== undefined && (rv === undefined || SESSION_LOST.has(rv))) token = undefined;
    return { job, fault: { rv, message: thrown instanceof Error ? thrown.message : 'failed' } };
  }
}

/** Return values after which the session is of no use: closed, token gone, logged out. */
const SESSION_LOST: ReadonlySet<number> = new Set([
  0x32,
  0xb0,
  0xb3,
  0xe0,
  0xe1,
  0x190,
  NOT_LOGGED_IN,
]);

parentPort?.on('message', async (message: ToThread | 'close') => {
  if (message !== 'close') return void parentPort?.postMessage(await answer(message));
  try {
    token?.close();
  } catch {
    // The session was gone already.
  }
  parentPort?.close();
});
