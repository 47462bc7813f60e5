import { readFileSync } from 'node:fs';
import type { PeerFacts } from '../policy/caller.ts';
import type { Connection, PeerProcess } from '../rpc/service.ts';
import { signerKeyIds } from '../spiffe/bundle.ts';

const FACTS = Symbol('peer facts');

/**
 * What policy judges a connection by, worked out once for each connection.
 *
 * @param wantGroups Whether supplementary groups matter: reading them costs a file.
 */
export function peerFacts(connection: Connection, wantGroups: boolean): PeerFacts {
  // Nothing else uses this symbol.
  const known = connection.memo.get(FACTS) as PeerFacts | undefined;
  if (known !== undefined) return known;
  const facts = workOut(connection, wantGroups);
  connection.memo.set(FACTS, facts);
  return facts;
}

function workOut({ peer }: Connection, wantGroups: boolean): PeerFacts {
  switch (peer.kind) {
    case 'process': {
      const { uid, gid, pid } = peer.process;
      return { kind: 'process', uid, gid, pid, groups: wantGroups ? groupsOf(peer.process) : [] };
    }
    case 'svid': {
      const [leaf] = peer.chain;
      // An accepted chain has a leaf; without one nobody is known.
      if (leaf === undefined) return { kind: 'anonymous' };
      return {
        kind: 'svid',
        id: peer.id,
        serialDecimal: leaf.serialDecimal,
        notAfterSeconds: Math.floor(leaf.notAfterMs / 1000),
        signerKeyIds: signerKeyIds(peer.chain),
      };
    }
    case 'anonymous':
      return { kind: 'anonymous' };
  }
}

function groupsOf(process: PeerProcess): readonly number[] {
  let status: string;
  try {
    status = readFileSync(`/proc/${process.pid}/status`, 'latin1');
  } catch {
    return [];
  }
  // Asked after reading: if the caller still lives, the file was its own and not a successor's.
  if (!process.isAlive()) return [];
  const line = /^Groups:\t?(.*)$/m.exec(status)?.[1] ?? '';
  return line.split(' ').filter(Boolean).map(Number);
}
