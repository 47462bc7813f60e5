import { fail, ok, type Result } from '../base/result.ts';
import { createFileSink, probeFile } from './file-sink.ts';
import type { SinkConfig } from './settings.ts';
import type { AuditSink } from './sink.ts';
import { createStdoutSink } from './stdout-sink.ts';

/**
 * Makes the sink that a configuration names. What is at the other end may be away: only settings that
 * cannot work refuse, with AUDIT_SETTINGS. Clients are loaded only where they are wanted.
 */
export async function openSink(config: SinkConfig): Promise<Result<AuditSink>> {
  switch (config.type) {
    case 'stdout':
      return ok(createStdoutSink());
    case 'file': {
      if (config.file === undefined) return missing(config);
      const probed = await probeFile(config.file.path);
      return probed.ok ? ok(createFileSink(config.file.path)) : probed;
    }
    case 'kafka': {
      if (config.kafka === undefined) return missing(config);
      const { openKafkaSink } = await import('./kafka-sink.ts');
      return openKafkaSink(config.kafka);
    }
    case 'loki': {
      if (config.loki === undefined) return missing(config);
      const { openLokiSink } = await import('./loki-sink.ts');
      return openLokiSink(config.loki);
    }
  }
}

function missing({ name, type }: SinkConfig): Result<never> {
  return fail('AUDIT_SETTINGS', `audit sink ${name}: ${type} is not set`);
}
