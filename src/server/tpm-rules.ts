import type { TpmParts } from '../attestation/tpm/server.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Logger } from '../runtime/log.ts';
import type { EndorsementTrust } from '../tpm/endorsement.ts';
import type { ServerConfig } from './config.ts';
import { type CurrentRevocation, openCrlFiles } from './crl-files.ts';
import { readRoots } from './root-files.ts';

type TpmSettings = NonNullable<ServerConfig['attestation']['tpm']>;

/** How TPMs are judged, as a section has it. Fails with ATTESTATION_SETTINGS. */
export async function readTpmRules(
  { knownEks, pcrs, eventLog, unsafeClock, ...paths }: TpmSettings,
  log: Logger,
  section: string,
): Promise<Result<Omit<TpmParts, 'registry' | 'clock' | 'random'>>> {
  const manufacturers = await readManufacturers(paths, section);
  if (!manufacturers.ok) return manufacturers;
  const revocation = await readEkCrls(paths, log, section);
  if (!revocation.ok) return revocation;
  const trust = { ...manufacturers.value, knownKeys: new Set(knownEks) };
  return ok({ trust, revocation: revocation.value, pcrs, eventLog, unsafeClock });
}

/** Roots of manufacturers and CAs below them. Fails with ATTESTATION_SETTINGS. */
export async function readManufacturers(
  paths: {
    readonly ekRootPaths: readonly string[];
    readonly ekIntermediatePaths: readonly string[];
  },
  section: string,
): Promise<Result<Pick<EndorsementTrust, 'roots' | 'intermediates'>>> {
  const roots = await readRoots(paths.ekRootPaths, `${section}.ekRootPaths`);
  if (!roots.ok) return roots;
  const setting = `${section}.ekIntermediatePaths`;
  const intermediates = await readRoots(paths.ekIntermediatePaths, setting);
  if (!intermediates.ok) return intermediates;
  return ok({ roots: roots.value, intermediates: intermediates.value });
}

/** CRLs above endorsement keys, as they are when they are asked for. Fails with ATTESTATION_SETTINGS. */
export async function readEkCrls(
  { ekCrls }: Pick<TpmSettings, 'ekCrls'>,
  log: Logger,
  section: string,
): Promise<Result<CurrentRevocation>> {
  const { paths, maxStale } = ekCrls;
  const opened = await openCrlFiles({ paths, maxStaleMs: maxStale * 1000, log });
  if (opened.ok) return opened;
  return fail('ATTESTATION_SETTINGS', `${section}.ekCrls: ${opened.error.message}`);
}
