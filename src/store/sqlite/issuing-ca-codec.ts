import { fail, ok, type Result } from '../../base/result.ts';
import { ISSUING_CA_STATES, type IssuingCa } from '../../rules/issuing-ca.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { type IssuingCaRow, issuingCaChecksum } from './rows.ts';

/** Encodes an issuing CA. */
export function encodeIssuingCa(issuingCa: IssuingCa): Omit<IssuingCaRow, 'checksum'> {
  const { authorityId, certificate, server, state, sinceSeconds } = issuingCa;
  return {
    authorityId,
    certificate: Buffer.from(certificate.der).toString('base64'),
    server,
    state: ISSUING_CA_STATES.indexOf(state),
    since: sinceSeconds,
    notAfter: Math.floor(certificate.notAfterMs / 1000),
  };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeIssuingCa(row: IssuingCaRow): Result<IssuingCa> {
  const { authorityId, server, since } = row;
  if (row.checksum !== issuingCaChecksum(row)) return damaged(authorityId, 'checksum differs');
  const certificate = parseCertificate(Buffer.from(row.certificate, 'base64'));
  if (!certificate.ok) return damaged(authorityId, 'certificate is malformed');
  const state = ISSUING_CA_STATES[row.state];
  if (state === undefined) return damaged(authorityId, 'state is not known');
  return ok({ authorityId, certificate: certificate.value, server, state, sinceSeconds: since });
}

function damaged(authorityId: string, why: string): Result<never> {
  return fail('STORE_CORRUPT', `the issuing CA ${authorityId} is damaged: ${why}`);
}
