"""Lints many certificates in one process with pkilint.

lint.py LEAVES.pem AUTHORITIES.pem

Judges every certificate by RFC 5280, and every leaf and intermediate together with its issuer.
Prints one JSON object: how many certificates were read, and each finding once, with the first
certificate that has it.
"""

import json
import sys

from pkilint import document, loader, pkix, validation
from pkilint.pkix import algorithm, certificate, extension, key, name
from pkilint.pkix.certificate import certificate_extension, certificate_key
from pkilint.validation import ValidationFindingSeverity
from pyasn1_alt_modules import rfc5280

END = "-----END CERTIFICATE-----"
LOADER = loader.RFC5280CertificateDocumentLoader()


def read_pems(path):
    with open(path, encoding="ascii") as file:
        blocks = file.read().split(END)
    return [block.strip() + "\n" + END + "\n" for block in blocks if block.strip()]


def load(pem, label, role="certificate", among=None):
    return LOADER.load_pem_document(pem, label, role, among)


def single_lints():
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(
            name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
        ),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def decoders():
    return validation.ValidatorContainer(
        path="certificate",
        validators=[
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
            pkix.create_signature_algorithm_identifier_decoder(
                algorithm.SIGNATURE_ALGORITHM_IDENTIFIER_MAPPINGS,
                path="certificate.tbsCertificate.signature",
            ),
            certificate.create_spki_decoder(
                key.SUBJECT_PUBLIC_KEY_ALGORITHM_IDENTIFIER_MAPPINGS,
                key.SUBJECT_KEY_PARAMETER_ALGORITHM_IDENTIFIER_MAPPINGS,
            ),
        ],
    )


def authority_key_id(node):
    subject = document.get_document_by_name(node, "subject")
    return subject.get_extension_by_oid(rfc5280.id_ce_authorityKeyIdentifier)


def issuer_lints():
    return validation.ValidatorContainer(
        validators=[
            name.IssuerSubjectNameBinaryEqualValidator(
                path="certificate.tbsCertificate.subject",
                subject_document_issuer_dn_path="subject:certificate.tbsCertificate.issuer",
            ),
            extension.IssuerSubjectKeyIdentifierBinaryEqualValidator(
                subject_auth_key_id_retriever=authority_key_id
            ),
            certificate_extension.IssuerSubjectPolicyChainValidator(),
        ]
    )


def signature_lints():
    return validation.ValidatorContainer(
        validators=[
            certificate_key.SubjectSignatureVerificationValidator(
                tbs_node_retriever=lambda node: node.navigate("^.tbsCertificate"),
                path="certificate.signature",
            )
        ]
    )


class Report:
    def __init__(self):
        self.findings = {}
        self.certificates = 0
        self.pairs = 0

    def take(self, kind, label, results):
        for result in results:
            for description in result.finding_descriptions:
                finding = description.finding
                self.findings.setdefault(
                    (kind, finding.code, description.message),
                    {
                        "kind": kind,
                        "code": finding.code,
                        "severity": ValidationFindingSeverity(finding.severity).name,
                        "message": description.message or "",
                        "first": f"{label}: {result.node.path}",
                    },
                )


def main(leaves_path, authorities_path):
    report = Report()
    leaves, authorities = read_pems(leaves_path), read_pems(authorities_path)
    single, decode, issuer, signature = (
        single_lints(), decoders(), issuer_lints(), signature_lints(),
    )
    by_subject = {}
    for pem in authorities:
        subject = load(pem, "authority").root.navigate("tbsCertificate.subject")
        by_subject[subject.pdu.prettyPrint()] = pem
    for kind, pems in (("leaf", leaves), ("ca", authorities)):
        for index, pem in enumerate(pems):
            label = f"{kind} {index}"
            one = load(pem, label)
            report.certificates += 1
            report.take(kind, label, single.validate(one.root))
            name_of_issuer = one.root.navigate("tbsCertificate.issuer")
            upper = by_subject.get(name_of_issuer.pdu.prettyPrint())
            if upper is None or upper == pem:
                continue
            report.pairs += 1
            pair = {}
            pair["issuer"] = load(upper, "issuer", "issuer", pair)
            pair["subject"] = load(pem, label, "subject", pair)
            results = decode.validate(pair["issuer"].root) + decode.validate(pair["subject"].root)
            results += issuer.validate(pair["issuer"].root)
            results += signature.validate(pair["subject"].root)
            report.take(kind, label, results)
    print(
        json.dumps(
            {
                "certificates": report.certificates,
                "pairs": report.pairs,
                "findings": list(report.findings.values()),
            }
        )
    )


main(*sys.argv[1:])
