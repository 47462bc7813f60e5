import { z } from 'zod';
import { absolutePathSetting } from '../../src/runtime/config.ts';

const fileName = z
  .string()
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/, 'must be the plain name of a file');

const octal = (preset: string) =>
  z
    .string()
    .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0640"')
    .default(preset)
    .transform((text) => Number.parseInt(text, 8));

const accountNumber = z.int().min(0).max(4_294_967_294).optional();

/** Schema of the `outputs` section of `connector.yaml`. */
export const outputsSchema = z
  .strictObject({
    directory: absolutePathSetting
      .optional()
      .describe(
        'Folder of the certificate files, of the companion alone; all of them change at one moment. None are written unless set.',
      ),
    certificateName: fileName.default('tls.crt').describe('Chain, PEM, leaf first.'),
    keyName: fileName.default('tls.key').describe('Private key, PEM, PKCS#8.'),
    bundleName: fileName
      .default('ca.crt')
      .describe('Authorities of the own trust domain, PEM; those of others as bundle-NAME.crt.'),
    crlName: fileName.default('ca.crl').describe('Revocation list, DER, where there is one.'),
    pkcs12Name: fileName
      .optional()
      .describe('Key store with key, chain and authorities, PKCS#12; not written unless set.'),
    pkcs12PasswordPath: absolutePathSetting
      .optional()
      .describe('File with the password of the key store; read each time.'),
    keyMode: octal('0600').describe('Mode of the files that hold the key, octal.'),
    mode: octal('0644').describe('Mode of the other files, octal.'),
    owner: accountNumber.describe('User, by number, that the files are given to.'),
    group: accountNumber.describe('Group, by number, that the files are given to.'),
  })
  .superRefine((outputs, context) => {
    const message = problemOf(outputs);
    if (message !== undefined) context.addIssue({ code: 'custom', path: [], message });
  })
  .prefault({});

/** The `outputs` section. */
export type OutputSettings = z.output<typeof outputsSchema>;

function problemOf(outputs: {
  readonly certificateName: string;
  readonly keyName: string;
  readonly bundleName: string;
  readonly crlName: string;
  readonly pkcs12Name?: string | undefined;
  readonly pkcs12PasswordPath?: string | undefined;
}): string | undefined {
  const { certificateName, keyName, bundleName, crlName, pkcs12Name } = outputs;
  const names = [certificateName, keyName, bundleName, crlName, pkcs12Name].filter(
    (name) => name !== undefined,
  );
  if (new Set(names).size < names.length) return 'two files have the same name';
  if (names.some((name) => name.startsWith('bundle-')))
    return 'names with bundle- are for bundles of other trust domains';
  if ((pkcs12Name === undefined) === (outputs.pkcs12PasswordPath === undefined)) return undefined;
  return 'pkcs12Name and pkcs12PasswordPath go together';
}
