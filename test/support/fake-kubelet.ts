import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificate, makeRoot } from './x509.ts';

/** A fake of the kubelet's HTTPS port, and the files that its callers need. */
export interface FakeKubelet {
  readonly port: number;
  /** The root that its certificate leads to. */
  readonly caPath: string;
  /** Any token; it is not checked. */
  readonly tokenPath: string;
  readonly folder: string;
}

/** What calls an action at the end, such as a test's context. */
export interface Ending {
  after(action: () => void): void;
}

/** Serves HTTPS on loopback in place of a kubelet: what it answers is the caller's. */
export async function fakeKubelet(
  ending: Ending,
  answer: RequestListener,
  names: readonly string[] = ['node-a'],
): Promise<FakeKubelet> {
  const root = makeRoot();
  const leaf = makeCertificate({ issuer: root, dnsNames: names });
  const key = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const server = createServer({ cert: leaf.pem, key }, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const folder = mkdtempSync(join(tmpdir(), 'sgn-kubelet-'));
  ending.after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const caPath = join(folder, 'ca.crt');
  const tokenPath = join(folder, 'token');
  writeFileSync(caPath, root.pem);
  writeFileSync(tokenPath, 'first\n');
  // It is the kernel that gives a TCP server an address of this shape.
  const { port } = server.address() as AddressInfo;
  return { port, caPath, tokenPath, folder };
}
