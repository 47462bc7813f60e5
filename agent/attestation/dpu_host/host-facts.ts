import type { VoucherRequest } from '../../../src/attestation/dpu_host/payload.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readKernelFile } from '../../../src/runtime/kernel-file.ts';
import type { DpuHostAgentSettings } from './settings.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** What the host states of itself: compared with the inventory, believed by nobody. */
export type HostFacts = Pick<VoucherRequest, 'boot' | 'host'>;

/**
 * Reads boot id, UUID and what else there is. Fails with AGENT_HOST_FACTS where one of the first two
 * cannot be read, or the last is configured and cannot.
 */
export async function readHostFacts(settings: DpuHostAgentSettings): Promise<Result<HostFacts>> {
  const { bootIdPath, uuidPath, serialPath, pf0MacPath } = settings;
  const boot = await readLine(bootIdPath);
  if (!UUID.test(boot)) return lacking('boot id', bootIdPath);
  const uuid = await readLine(uuidPath);
  if (!UUID.test(uuid)) return lacking('UUID', uuidPath);
  const pf0Mac = pf0MacPath === undefined ? '' : await readLine(pf0MacPath);
  if (pf0MacPath !== undefined && !MAC.test(pf0Mac)) return lacking('MAC', pf0MacPath);
  const serial = ((await readKernelFile(serialPath)) ?? '').slice(0, 64);
  return ok({ boot, host: { serial, uuid, pf0Mac } });
}

async function readLine(path: string): Promise<string> {
  return (await readKernelFile(path))?.toLowerCase() ?? '';
}

function lacking(what: string, path: string): Result<never> {
  return fail('AGENT_HOST_FACTS', `no ${what} of this machine in ${path}`);
}
