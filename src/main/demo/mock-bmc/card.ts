/** What a mock BMC tells of the card it stands on. */
export interface MockCard {
  readonly serialNumber: string;
  readonly partNumber: string;
  readonly psid: string;
  /** UUID of the card. */
  readonly uuid: string;
  /** UUID of the BMC's Redfish service. */
  readonly bmcUuid: string;
  readonly baseMac: string;
  readonly bmcMac: string;
  readonly mode: 'DpuMode' | 'NicMode' | '';
  readonly hostRshim: 'Enabled' | 'Disabled';
  readonly hostPrivilege: 'Restricted' | 'Privileged' | 'Unavailable';
  readonly secureBoot: boolean;
  readonly firmware: Readonly<Record<string, string>>;
}

/** A card in zero-trust mode, of no real device. */
export const MOCK_CARD: MockCard = {
  serialNumber: 'MT0000X00001',
  partNumber: '900-00000-0000-AA0',
  psid: 'MT_0000009999',
  uuid: '00000000-0000-4000-8000-000000000001',
  bmcUuid: '00000000-0000-4000-8000-0000000000b1',
  baseMac: '02:00:00:00:00:10',
  bmcMac: '02:00:00:00:00:b1',
  mode: 'DpuMode',
  hostRshim: 'Disabled',
  hostPrivilege: 'Restricted',
  secureBoot: true,
  firmware: {
    BMC_Firmware: 'BF-26.01-1',
    Bluefield_FW_ERoT: '00.02.0200.0000_n02',
    DPU_ATF: 'v2.2(release):4.13.0-1-g0000001',
    DPU_BSP: '4.13.0.10000',
    DPU_NIC: '32.47.1000',
    DPU_OS: 'DOCA_3.3.0_BSP_4.13.0_Ubuntu_24.04',
    DPU_SYS_IMAGE: '0200:0003:0000:0010',
    DPU_UEFI: '4.13.0-1-g0000002',
  },
};

/** A resource as JSON. */
export type MockResource = Readonly<Record<string, unknown>>;

const ROOT = '/redfish/v1';
const SYSTEM = `${ROOT}/Systems/Bluefield`;
const FIRMWARE = `${ROOT}/UpdateService/FirmwareInventory`;
/** Width to which a card's serial and part numbers are padded with spaces, as the real ones are. */
const PADDED = 24;

/** Where the link of a resource points. */
export function link(path: string): { readonly '@odata.id': string } {
  return { '@odata.id': path };
}

/** A collection of resources below a path, whole where `expanded` has them. */
export function collection(path: string, type: string, members: readonly MockResource[]) {
  return {
    '@odata.id': path,
    '@odata.type': `#${type}.${type}`,
    Members: members,
    'Members@odata.count': members.length,
    Name: `${type} of a mock`,
  };
}

/** The resources of a card that no measurement touches, by path, shaped as a BlueField BMC has them. */
export function cardResources(card: MockCard): ReadonlyMap<string, MockResource> {
  return new Map<string, MockResource>([
    [ROOT, serviceRoot(card)],
    [`${ROOT}/Systems`, collection(`${ROOT}/Systems`, 'ComputerSystemCollection', [link(SYSTEM)])],
    [SYSTEM, system(card)],
    [`${SYSTEM}/SecureBoot`, secureBoot(card)],
    [`${SYSTEM}/Bios`, bios(card)],
    [`${SYSTEM}/Oem/Nvidia`, oem(card)],
    [`${SYSTEM}/Oem/Nvidia/Connectx/ExternalHostPrivileges`, hostPrivileges(card)],
    [`${ROOT}/Managers/Bluefield_BMC/EthernetInterfaces/eth0`, bmcInterface(card)],
    ...firmware(card),
  ]);
}

function serviceRoot(card: MockCard): MockResource {
  return {
    '@odata.id': ROOT,
    '@odata.type': '#ServiceRoot.v1_15_0.ServiceRoot',
    ComponentIntegrity: link(`${ROOT}/ComponentIntegrity`),
    Id: 'RootService',
    Links: { Sessions: link(`${ROOT}/SessionService/Sessions`) },
    Product: 'Nvidia-BMCMezz',
    RedfishVersion: '1.9.0',
    Systems: link(`${ROOT}/Systems`),
    Tasks: link(`${ROOT}/TaskService`),
    UUID: card.bmcUuid,
    UpdateService: link(`${ROOT}/UpdateService`),
    Vendor: 'Nvidia',
  };
}

function system(card: MockCard): MockResource {
  return {
    '@odata.id': SYSTEM,
    '@odata.type': '#ComputerSystem.v1_17_0.ComputerSystem',
    Bios: link(`${SYSTEM}/Bios`),
    Id: 'Bluefield',
    Manufacturer: 'Nvidia',
    Model: 'BlueField-3 DPU',
    Oem: { Nvidia: link(`${SYSTEM}/Oem/Nvidia`) },
    PartNumber: card.partNumber.padEnd(PADDED),
    SKU: card.partNumber,
    SecureBoot: link(`${SYSTEM}/SecureBoot`),
    SerialNumber: card.serialNumber.padEnd(PADDED),
    UUID: card.uuid,
  };
}

function secureBoot({ secureBoot: on }: MockCard): MockResource {
  return {
    '@odata.id': `${SYSTEM}/SecureBoot`,
    '@odata.type': '#SecureBoot.v1_1_0.SecureBoot',
    Id: 'SecureBoot',
    SecureBootCurrentBoot: on ? 'Enabled' : 'Disabled',
    SecureBootEnable: on,
    SecureBootMode: on ? 'UserMode' : 'SetupMode',
  };
}

function bios(card: MockCard): MockResource {
  return {
    '@odata.id': `${SYSTEM}/Bios`,
    '@odata.type': '#Bios.v1_2_0.Bios',
    Attributes: {
      'Host Privilege Level': card.hostPrivilege,
      'Internal CPU Model': 'Embedded',
      NicMode: card.mode === '' ? 'Unavailable' : card.mode,
    },
    Id: 'BIOS',
  };
}

function oem(card: MockCard): MockResource {
  return {
    '@odata.id': `${SYSTEM}/Oem/Nvidia`,
    '@odata.type': '#NvidiaComputerSystem.v1_0_0.NvidiaComputerSystem',
    BaseMAC: card.baseMac,
    Connectx: {
      ExternalHostPrivilege: link(`${SYSTEM}/Oem/Nvidia/Connectx/ExternalHostPrivileges`),
    },
    HostRshim: card.hostRshim,
    Mode: card.mode,
  };
}

function hostPrivileges({ hostPrivilege }: MockCard): MockResource {
  const names = ['FlashAccess', 'FwUpdate', 'NicReset', 'NvGlobal', 'NvHost', 'NvInternalCpu'];
  const value = hostPrivilege === 'Restricted' ? 'Disabled' : 'Default';
  return {
    '@odata.id': `${SYSTEM}/Oem/Nvidia/Connectx/ExternalHostPrivileges`,
    ExternalHostPrivilege: Object.fromEntries(names.map((name) => [`HostPriv${name}`, value])),
  };
}

function bmcInterface({ bmcMac }: MockCard): MockResource {
  return {
    '@odata.id': `${ROOT}/Managers/Bluefield_BMC/EthernetInterfaces/eth0`,
    '@odata.type': '#EthernetInterface.v1_6_0.EthernetInterface',
    Id: 'eth0',
    MACAddress: bmcMac,
  };
}

function firmware(card: MockCard): (readonly [string, MockResource])[] {
  const versions = { ...card.firmware, DPU_BOARD: card.psid };
  const items = Object.entries(versions).map(([id, version]) => {
    const path = `${FIRMWARE}/${id}`;
    const type = '#SoftwareInventory.v1_4_0.SoftwareInventory';
    return [path, { '@odata.id': path, '@odata.type': type, Id: id, Version: version }] as const;
  });
  const links = items.map(([path]) => link(path));
  return [[FIRMWARE, collection(FIRMWARE, 'SoftwareInventoryCollection', links)], ...items];
}
