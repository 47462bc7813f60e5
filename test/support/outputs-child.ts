/**
 * A process that writes two materials of certificate files in turn until it is killed. Arguments: folder, and
 * a JSON file with both materials' chains and keys in base64. Prints a line when the first is written.
 */
import { readFileSync, writeSync } from 'node:fs';
import { outputsSchema } from '../../agent/connector/output-settings.ts';
import { writeOutputs } from '../../agent/connector/outputs.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { outputMaterial, type StoredMaterial } from './output-material.ts';

const [directory = '', file = ''] = process.argv.slice(2);
const stored = JSON.parse(readFileSync(file, 'utf8')) as readonly StoredMaterial[];
const settings = outputsSchema.parse({ directory });
const materials = stored.map((one) => outputMaterial(one));
for (let round = 0; ; round++) {
  for (const material of materials) unwrap(await writeOutputs(settings, material, systemRandom));
  if (round === 0) writeSync(1, 'written\n');
}
