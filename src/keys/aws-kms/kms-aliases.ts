import { type AliasListEntry, ListAliasesCommand } from '@aws-sdk/client-kms';
import { ok, type Result } from '../../base/result.ts';
import type { KmsCalls } from './kms-calls.ts';

/** Most that KMS gives in one answer. */
const PAGE = 100;

/** Every alias of the account, or of one key. */
export async function listAliases(
  calls: KmsCalls,
  keyId?: string,
): Promise<Result<readonly AliasListEntry[]>> {
  const found: AliasListEntry[] = [];
  for (let marker: string | undefined; ; ) {
    const at = marker;
    const page = await calls.send('ListAliases', (client, options) =>
      client.send(
        new ListAliasesCommand({
          Limit: PAGE,
          ...(keyId === undefined ? {} : { KeyId: keyId }),
          ...(at === undefined ? {} : { Marker: at }),
        }),
        options,
      ),
    );
    if (!page.ok) return page;
    found.push(...(page.value.Aliases ?? []));
    marker = page.value.Truncated === true ? page.value.NextMarker : undefined;
    if (marker === undefined) return ok(found);
  }
}
