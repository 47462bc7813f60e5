import { z } from 'zod';
import { equalBytes } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { encodePem, parsePem } from '../../der/pem.ts';
import { parseCsr } from '../../x509/csr.ts';
import type { PemAnswer } from './pem-answer.ts';
import type { CertifyOrder } from './upstream.ts';

/** Who is to sign, as cert-manager names it. */
export interface IssuerRef {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
}

const conditionSchema = z.object({
  type: z.string(),
  status: z.string(),
  reason: z.string().default(''),
  message: z.string().default(''),
});
const requestSchema = z.object({
  spec: z.object({
    request: z.base64(),
    isCA: z.boolean().default(false),
    issuerRef: z.object({
      name: z.string(),
      kind: z.string().default('Issuer'),
      group: z.string().default('cert-manager.io'),
    }),
  }),
  status: z
    .object({
      conditions: z.array(conditionSchema).default([]),
      certificate: z.base64().optional(),
      ca: z.base64().optional(),
    })
    .prefault({}),
});

/** A CertificateRequest of cert-manager, read. */
export type CertificateRequest = z.output<typeof requestSchema>;

/** How far a request is: waiting, or refused for good, or signed. */
export type Progress =
  | { readonly kind: 'waiting'; readonly why: string }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'signed'; readonly answer: PemAnswer };

/** Longest part of somebody's words that is told, in characters. */
const MAX_SAID = 300;

/** The object that asks for a CA: `cert-manager.io/v1`, isCA, with the usages of a CA alone. */
export function certificateRequestOf(
  name: string,
  { csr, ttlSeconds }: CertifyOrder,
  { issuerRef, trustDomain }: { readonly issuerRef: IssuerRef; readonly trustDomain: string },
): object {
  return {
    apiVersion: 'cert-manager.io/v1',
    kind: 'CertificateRequest',
    metadata: {
      name,
      labels: { 'app.kubernetes.io/managed-by': 'signet' },
      annotations: { 'signet/trust-domain': trustDomain },
    },
    spec: {
      request: Buffer.from(encodePem('CERTIFICATE REQUEST', csr)).toString('base64'),
      isCA: true,
      usages: ['cert sign', 'crl sign'],
      duration: `${ttlSeconds}s`,
      issuerRef,
    },
  };
}

/** Reads a CertificateRequest as the API server gives it. Errors: UPSTREAM_ANSWER_INVALID. */
export function readCertificateRequest(value: unknown): Result<CertificateRequest> {
  const parsed = requestSchema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const path = parsed.error.issues[0]?.path.join('.') ?? '';
  return fail('UPSTREAM_ANSWER_INVALID', `cert-manager: no CertificateRequest, at "${path}"`);
}

/** Whether a request that is there already is the one that we would make. */
export function isSameRequest(
  { spec }: CertificateRequest,
  { spki }: CertifyOrder,
  issuerRef: IssuerRef,
): boolean {
  const { name, kind, group } = spec.issuerRef;
  const sameIssuer =
    name === issuerRef.name && kind === issuerRef.kind && group === issuerRef.group;
  const blocks = parsePem(textOf(spec.request));
  const csr = parseCsr((blocks.ok ? blocks.value[0]?.der : undefined) ?? new Uint8Array());
  return spec.isCA && sameIssuer && csr.ok && equalBytes(csr.value.publicKey.spki, spki);
}

/** What the conditions say; they are those of cert-manager's own reference. */
export function progressOf({ status }: CertificateRequest): Progress {
  const { conditions, certificate, ca } = status;
  const find = (type: string, value: string) =>
    conditions.find((each) => each.type === type && each.status === value);
  const no = find('Denied', 'True') ?? find('InvalidRequest', 'True');
  const unready = find('Ready', 'False');
  const failed = unready?.reason === 'Failed' || unready?.reason === 'Denied' ? unready : undefined;
  const refused = no ?? failed;
  if (refused !== undefined) return { kind: 'refused', why: wordsOf(refused) };
  if (find('Ready', 'True') === undefined || certificate === undefined || certificate === '') {
    const approved = find('Approved', 'True') !== undefined;
    const state = approved ? 'it is approved, and not signed yet' : 'it is not approved yet';
    return {
      kind: 'waiting',
      why: unready === undefined ? state : `${state}, ${wordsOf(unready)}`,
    };
  }
  const above = ca === undefined ? [] : [textOf(ca)];
  return { kind: 'signed', answer: { certificate: textOf(certificate), above } };
}

function wordsOf({ type, reason, message }: z.output<typeof conditionSchema>): string {
  return `${type} ${JSON.stringify(`${reason}: ${message}`.slice(0, MAX_SAID))}`;
}

function textOf(base64: string): string {
  return Buffer.from(base64, 'base64').toString('latin1');
}
