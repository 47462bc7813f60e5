import { fail, ok, type Result } from '../../base/result.ts';
import type { SegmentSpec } from '../../gen/signet/connector/v1/admin.ts';
import { HealthCheckKind, Protocol, UpstreamTls } from '../../gen/signet/connector/v1/connector.ts';
import type {
  ConnectorSegmentDraft,
  SegmentCheck,
  SegmentProtocol,
} from '../../rules/connector/segment.ts';

/** Reads a protocol. */
export function fromWireProtocol(protocol: Protocol): Result<SegmentProtocol> {
  if (protocol === Protocol.PROTOCOL_TCP) return ok('tcp');
  if (protocol === Protocol.PROTOCOL_UDP) return ok('udp');
  return fail('FIELD_INVALID', 'protocol: PROTOCOL_TCP or PROTOCOL_UDP');
}

/** Reads a segment that an operator states; its fields are still to be checked. */
export function fromWireSegment(spec: SegmentSpec | undefined): Result<ConnectorSegmentDraft> {
  const segment = spec?.segment;
  if (spec === undefined || segment === undefined) {
    return fail('FIELD_MISSING', 'segment.segment is required');
  }
  const protocol = fromWireProtocol(segment.protocol);
  if (!protocol.ok) return protocol;
  const healthCheck = checkOf(segment.healthCheck);
  if (healthCheck === undefined) return fail('FIELD_INVALID', 'health_check is of no known kind');
  // A mode that is not known must not become none: the flow would go on unprotected.
  if (!Object.values(UpstreamTls).includes(segment.upstreamTls)) {
    return fail('FIELD_INVALID', 'upstream_tls is of no known kind');
  }
  return ok({
    ...segment,
    protocol: protocol.value,
    upstreamTls: segment.upstreamTls === UpstreamTls.UPSTREAM_TLS_SVID,
    healthCheck,
    groups: spec.groups,
    origin: '',
  });
}

function checkOf(kind: HealthCheckKind): SegmentCheck | undefined {
  switch (kind) {
    case HealthCheckKind.HEALTH_CHECK_KIND_NONE:
      return 'none';
    case HealthCheckKind.HEALTH_CHECK_KIND_ON_ACCESS:
      return 'on-access';
    case HealthCheckKind.HEALTH_CHECK_KIND_TCP:
      return 'tcp';
    case HealthCheckKind.HEALTH_CHECK_KIND_HTTP:
      return 'http';
    case HealthCheckKind.HEALTH_CHECK_KIND_GRPC:
      return 'grpc';
    default:
      return undefined;
  }
}
