/** Object identifiers of DICE (TCG DICE Attestation Architecture) and SPDM (DSP0274) in certificates. */
export const DICE_OID = {
  /** Firmware identity: a TcbInfo, or the composite device id of the 0.93 draft. */
  tcbInfo: '2.23.133.5.4.1',
  /** Several TcbInfo. */
  multiTcbInfo: '2.23.133.5.4.5',
  /** otherName `vendor:product:serial`. */
  spdmDeviceInfo: '1.3.6.1.4.1.412.274.1',
} as const;
