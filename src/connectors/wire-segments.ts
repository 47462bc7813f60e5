import {
  HealthCheckKind,
  Protocol,
  UpstreamTls,
  type Segment as WireSegment,
} from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorSegmentDraft, SegmentCheck } from '../rules/connector/segment.ts';

const CHECKS: Readonly<Record<SegmentCheck, HealthCheckKind>> = {
  none: HealthCheckKind.HEALTH_CHECK_KIND_NONE,
  'on-access': HealthCheckKind.HEALTH_CHECK_KIND_ON_ACCESS,
  tcp: HealthCheckKind.HEALTH_CHECK_KIND_TCP,
  http: HealthCheckKind.HEALTH_CHECK_KIND_HTTP,
  grpc: HealthCheckKind.HEALTH_CHECK_KIND_GRPC,
};

/** A segment in its wire form. */
export function toWireSegment(segment: ConnectorSegmentDraft): WireSegment {
  return {
    id: segment.id,
    hosts: [...segment.hosts],
    protocol: segment.protocol === 'tcp' ? Protocol.PROTOCOL_TCP : Protocol.PROTOCOL_UDP,
    ports: segment.ports.map(({ first, last }) => ({ first, last })),
    clients: [...segment.clients],
    upstreamTls: segment.upstreamTls
      ? UpstreamTls.UPSTREAM_TLS_SVID
      : UpstreamTls.UPSTREAM_TLS_NONE,
    upstreamId: segment.upstreamId,
    healthCheck: CHECKS[segment.healthCheck],
    healthCheckIntervalSeconds: segment.healthCheckIntervalSeconds,
    healthCheckPath: segment.healthCheckPath,
    draining: segment.draining,
    priority: segment.priority,
    weight: segment.weight,
    // In one order: equal segments are equal bytes, whoever wrote them.
    labels: Object.fromEntries(Object.entries(segment.labels).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
