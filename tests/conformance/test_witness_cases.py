"""Our witness against the requests and answers that litewitness is tested with."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.cosignature import check_cosignature
from counterfoil.core.keys import Algorithm, PrivateKey, VerifierKey
from counterfoil.core.note import parse_note, parse_signature_line
from counterfoil.ledger.witness import Witness

TIME = 1_795_305_600
SIGNER = PrivateKey.from_private(
    "example.com/witness",
    Algorithm.COSIGNATURE_ED25519,
    Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
)
ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SPARE_BITS = "gx=\n"


def expected_status(case):
    """The status of tlog-witness v1.0.0, which came after these cases."""
    unknown_origin = any("unknown log" in one for one in case["asserts"])
    # Go's checksum database signs as sum.golang.org what it calls "go.sum database tree". A log
    # that our witness knows has a key of its own name, so to us this one is unknown.
    return 404 if unknown_origin or case["file"] == "sumdb.txt" else case["status"]


@pytest.mark.parametrize("file", ["litewitness.txt", "bastion.txt", "sumdb.txt"])
def test_each_request_gets_the_answer_of_the_specification(vectors, tmp_path, file):
    """Statuses, sizes in conflicts and cosignatures come in the order of the published run."""
    published = json.loads(
        (vectors / "tlog" / "tlog_witness_add_checkpoint_cases.json").read_text()
    )
    cases = [case for case in published["cases"] if case["file"] == file]
    assert cases
    witness = Witness(tmp_path, SIGNER, clock=lambda: TIME)
    log_key = bytes.fromhex(published["log_key_hex"])
    witness.know(VerifierKey(ORIGIN, Algorithm.ED25519, log_key))
    for number, case in enumerate(cases):
        request = case["body"]
        if request.endswith(SPARE_BITS):
            # Go reads this base64 and finds the signature false; to us it is malformed. Written
            # canonically, the same bytes get the published answer.
            assert witness.add_checkpoint(request.encode())[0] == 400
            request = request.removesuffix(SPARE_BITS) + "gw=\n"
        status, body = witness.add_checkpoint(request.encode())
        assert status == expected_status(case), (number, body)
        if status == 409:
            assert [f'body == "{body.decode()[:-1]}\\n"'] == case["asserts"]
        if status == 200:
            text = parse_note(request.partition("\n\n")[2].encode()).text
            line = parse_signature_line(body.decode().removesuffix("\n"))
            assert check_cosignature(text, line, SIGNER.key) == TIME
