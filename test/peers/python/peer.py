"""A Workload API client on the Python `spiffe` package that tells what it sees, one JSON object a line.

    peer.py watch SOCKET           every X.509 context, until killed
    peer.py fetch SOCKET           one X.509 context
    peer.py jwt SOCKET AUDIENCE    one JWT-SVID for each identity, validated offline
    peer.py calls SOCKET COUNT     COUNT JWT fetches on one connection
"""

import json
import sys
import threading

import grpc
from spiffe import JwtSvid, WorkloadApiClient


def say(**event):
    print(json.dumps(event), flush=True)


def grpc_code(error):
    """The gRPC status under the package's own exceptions, in the names that grpc-go prints."""
    while error is not None:
        if isinstance(error, grpc.RpcError):
            return "".join(part.capitalize() for part in error.code().name.split("_"))
        error = error.__cause__ or error.__context__
    return "Unknown"


def fail(error):
    text = str(error)
    code = grpc_code(error)
    if code == "Unknown" and "PERMISSION_DENIED" in text:
        code = "PermissionDenied"
    say(event="error", code=code, message=text)


def x509_event(context):
    svids = [
        {
            "id": str(svid.spiffe_id),
            "serial": str(svid.leaf.serial_number),
            "notAfter": int(svid.leaf.not_valid_after_utc.timestamp()),
            "verified": signed_by_bundle(svid, context.x509_bundle_set),
        }
        for svid in context.x509_svids
    ]
    bundles = {
        "spiffe://" + bundle.trust_domain.name: len(bundle.x509_authorities)
        for bundle in context.x509_bundle_set.bundles
    }
    say(event="x509", svids=svids, bundles=bundles)


def signed_by_bundle(svid, bundles):
    """The package has no chain validation of its own: the chain's last link is checked here."""
    bundle = bundles.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    last = svid.cert_chain[-1]
    for authority in bundle.x509_authorities if bundle else []:
        try:
            last.verify_directly_issued_by(authority)
            return True
        except Exception:  # the next authority may be the one
            continue
    return False


def jwt(client, audience):
    bundles = client.fetch_jwt_bundles()
    svids = []
    for svid in client.fetch_jwt_svids({audience}):
        bundle = bundles.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
        JwtSvid.parse_and_validate(svid.token, bundle, {audience})
        svids.append({"id": str(svid.spiffe_id), "verified": True})
    say(event="jwt", svids=svids)


def main():
    command, socket = sys.argv[1], sys.argv[2]
    argument = sys.argv[3] if len(sys.argv) > 3 else ""
    client = WorkloadApiClient("unix://" + socket)
    try:
        if command == "watch":
            client.stream_x509_contexts(x509_event, fail)
            threading.Event().wait()
        elif command == "fetch":
            x509_event(client.fetch_x509_context())
        elif command == "jwt":
            jwt(client, argument)
        else:
            for _ in range(int(argument)):
                client.fetch_jwt_svid({"calls"})
            say(event="calls", count=int(argument))
    except Exception as error:
        fail(error)
        sys.exit(1)


main()
