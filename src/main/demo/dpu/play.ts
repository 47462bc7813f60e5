import { dirname, join } from 'node:path';
import type { CliIo } from '../../../cli/spec.ts';
import { DemoProcess } from '../process.ts';
import type { Screen } from '../screen.ts';
import type { Stage } from '../stage.ts';
import { SERIAL, startCardAgent, startHostAgent, startSite } from './node.ts';
import {
  attest,
  attestHost,
  changeFirmware,
  type DpuCast,
  enrol,
  introduce,
  issue,
  putBack,
} from './story.ts';

/** `signet demo --dpu`: a DPU attests, its firmware changes, and what it means for a workload. */
export async function playDpu(stage: Stage, screen: Screen, io: CliIo): Promise<DpuCast> {
  screen.say(
    'Signet: a node proves itself by its DPU, and loses its identities when the\n' +
      "card's firmware is not what it has to be.",
  );
  const site = await screen.step('A DPU with its BMC (mocks), and a server', async () => {
    const started = await startSite(stage, io);
    introduce(started, screen);
    return started;
  });
  await screen.step('The operator imports the DPU and commissions it from its BMC', () =>
    enrol(site, screen, io),
  );
  const agentId = await screen.step('The agent on the card attests', async () => {
    await startCardAgent(stage, site, io);
    return attest(site, screen, io);
  });
  const hostAgentId = await screen.step('The card vouches for the agent on its host', async () => {
    await startHostAgent(stage, site, io);
    return attestHost(site, agentId, screen, io);
  });
  // Beside the bundle: on Node.js's own file system, where links are free, and not on a noexec /tmp.
  const folder = stage.folder(dirname(process.argv[1] ?? ''));
  const web = await stage.add(new DemoProcess('web', folder, site.places.hostSocket));
  const cast = { site, web, hostAgentId };
  await screen.step('A workload on the host gets its identity', () => issue(cast, screen, io));
  await screen.step("Somebody changes the card's NIC firmware, and tells nobody", () =>
    changeFirmware(cast, screen, io),
  );
  await screen.step('The operator puts the firmware back and releases the DPU', () =>
    putBack(cast, screen, io),
  );
  return cast;
}

/** What can be tried while everything goes on running. */
export function dpuHints({ site: { places }, hostAgentId }: DpuCast): string {
  const signet = join(dirname(dirname(process.argv[1] ?? '')), 'bin/signet');
  return `
  export SIGNET_SERVER_SOCKET=${places.adminSocket}
  export SPIFFE_ENDPOINT_SOCKET=unix://${places.hostSocket}

  ${signet} dpu list
  ${signet} agent show --spiffe-id ${hostAgentId}
  ${signet} dpu evidence ${SERIAL}
  ${signet} dpu quarantine ${SERIAL} --reason "trying it"
  ${signet} dpu release ${SERIAL} --reason "tried"

  ls ${places.dir}    # configurations, inventory, manifest, logs: change them, try your own`;
}
