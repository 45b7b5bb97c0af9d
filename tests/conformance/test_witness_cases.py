"""Our witness against the requests and answers that litewitness is tested with.

Asked as a function, and once more as a server that is known by its port alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path

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


SERVED = """
import sys
from pathlib import Path
sys.path.append({here!r})
from counterfoil.http.witness import witness_app
from counterfoil.ledger import Witness
from test_witness_cases import SIGNER, TIME

app = witness_app(Witness(Path({folder!r}), SIGNER, clock=lambda: TIME))
"""


@contextlib.contextmanager
def asking(port):
    """Give a function that asks the server on a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(request):
        connection.request("POST", "/add-checkpoint", request)
        reply = connection.getresponse()
        kind = "text/x.tlog.size" if reply.status == 409 else "text/plain; charset=utf-8"
        assert reply.headers["Content-Type"] == kind
        return reply.status, reply.read()

    with contextlib.closing(connection):
        yield ask


@pytest.mark.parametrize("is_server", [False, True])
@pytest.mark.parametrize("file", ["litewitness.txt", "bastion.txt", "sumdb.txt"])
def test_each_request_gets_the_answer_of_the_specification(
    vectors, tmp_path, file, is_server, serve_asgi
):
    """Statuses, sizes in conflicts and cosignatures come in the order of the published run."""
    published = json.loads(
        (vectors / "tlog" / "tlog_witness_add_checkpoint_cases.json").read_text()
    )
    cases = [case for case in published["cases"] if case["file"] == file]
    assert cases
    witness = Witness(tmp_path, SIGNER, clock=lambda: TIME)
    log_key = bytes.fromhex(published["log_key_hex"])
    witness.know(VerifierKey(ORIGIN, Algorithm.ED25519, log_key))
    folder, here = str(tmp_path), str(Path(__file__).parent)
    with (
        asking(serve_asgi(SERVED.format(folder=folder, here=here)))
        if is_server
        else contextlib.nullcontext(witness.add_checkpoint)
    ) as ask:
        for number, case in enumerate(cases):
            request = case["body"]
            if request.endswith(SPARE_BITS):
                # Go reads this base64 and finds the signature false; to us it is malformed. Written
                # canonically, the same bytes get the published answer.
                assert ask(request.encode())[0] == 400
                request = request.removesuffix(SPARE_BITS) + "gw=\n"
            status, body = ask(request.encode())
            assert status == expected_status(case), (number, body)
            if status == 409:
                assert [f'body == "{body.decode()[:-1]}\\n"'] == case["asserts"]
            if status == 200:
                text = parse_note(request.partition("\n\n")[2].encode()).text
                line = parse_signature_line(body.decode().removesuffix("\n"))
                assert check_cosignature(text, line, SIGNER.key) == TIME
