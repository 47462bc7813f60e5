import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

/** Where the descriptor set is committed. */
export const DESCRIPTOR_PATH = 'src/gen/descriptor.ts';

/** The descriptor set of `proto/` as a source: what gRPC reflection serves. */
export function descriptorSource(): string {
  const set = execFileSync(
    'node_modules/.bin/buf',
    ['build', '--exclude-source-info', '-o', '-#format=binpb'],
    { maxBuffer: 2 ** 26 },
  );
  return [
    '// Generated from proto/ by test/house/write-descriptor.ts. Do not edit.',
    '',
    '/** google.protobuf.FileDescriptorSet of all contracts, base64. */',
    'export const DESCRIPTOR_SET =',
    `  '${set.toString('base64')}';`,
    '',
  ].join('\n');
}

if (import.meta.main) writeFileSync(DESCRIPTOR_PATH, descriptorSource());
