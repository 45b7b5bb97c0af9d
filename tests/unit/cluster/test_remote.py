"""What a store refuses, its user reads in the store's own words."""

from __future__ import annotations

import http.server
import threading

import pytest

from counterfoil.errors import UnavailableError

pytest.importorskip("obstore")

from counterfoil.cluster.remote import RemoteObjects

REFUSAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SignatureDoesNotMatch</Code><Message>Check your key.</Message>
<Resource>/bucket/x</Resource></Error>"""


@pytest.fixture
def refusing(monkeypatch):
    """A store that refuses as S3 does, with credentials in the environment."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("Content-Length", str(len(REFUSAL)))
            self.end_headers()
            self.wfile.write(REFUSAL)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("refusing")
def test_the_code_and_the_message_are_said():
    """And nothing of the markup around them."""
    with pytest.raises(UnavailableError) as caught:
        RemoteObjects("s3://bucket/x").get(["checkpoint"], 1)
    said = "s3://bucket/x: cannot read checkpoint: SignatureDoesNotMatch: Check your key."
    assert str(caught.value) == said


@pytest.mark.usefixtures("refusing")
def test_credentials_that_are_missing_are_named(monkeypatch):
    """Not the address at which a machine of a cloud would have looked for its role."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UnavailableError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        RemoteObjects("s3://bucket/x").get(["checkpoint"], 1)
