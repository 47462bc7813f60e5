import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unwrap } from '../../src/base/result.ts';
import { parseCertificatesPem } from '../../src/x509/certificate.ts';
import type { Certificate } from '../../src/x509/types.ts';
import { sharedDir } from './shared.ts';

/** Evidence that a real chip of NVIDIA made, as its attestation SDK publishes it (Apache-2.0). */
export interface NvidiaEvidence {
  readonly name: string;
  /** As they stand in the file: the leaf first. */
  readonly chain: readonly Certificate[];
  /** GET_MEASUREMENTS and MEASUREMENTS of SPDM 1.1. */
  readonly messages: Uint8Array;
  readonly nonce: Uint8Array;
}

/** Files of genuine evidence below the shared folder. */
export const NVIDIA_FILES = [
  'vectors/nvidia/hopper_evidence.json',
  'vectors/nvidia/switch_evidence_ls10.json',
] as const;

/** Reads one file of genuine evidence. */
export function readNvidiaEvidence(file: string): NvidiaEvidence {
  const [item] = JSON.parse(readFileSync(join(sharedDir, file), 'utf8')) as [
    { certificate: string; evidence: string; nonce: string },
  ];
  return {
    name: file.slice(file.lastIndexOf('/') + 1),
    chain: unwrap(parseCertificatesPem(Buffer.from(item.certificate, 'base64'))),
    messages: Buffer.from(item.evidence, 'base64'),
    nonce: Buffer.from(item.nonce, 'hex'),
  };
}
