"""A server of a log whose tiles are in an object store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import servers

import counterfoil as cf
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.places import Places

SOON_S = 60.0


def test_a_log_in_an_object_store_is_served(make_store):
    """The server has read from the store before its workers begin, and they read from it, too."""
    url = make_store("postgres-s3").location
    with cf.init(url) as ledger:
        ledger.append(b"an entry")
        checkpoint = ledger.checkpoint
    address = f"127.0.0.1:{servers.free_port()}"
    command = [sys.executable, "-m", "counterfoil", "serve", "--listen", address, "--public-read"]
    with subprocess.Popen([*command, "--ledger", url], env=os.environ) as server:
        try:
            assert (
                ask(f"http://{address}/checkpoint").splitlines()[:3] == checkpoint.splitlines()[:3]
            )
            assert ask(f"http://{address}/tile/entries/000.p/2").endswith(b"an entry")
            assert b'"ready":true' in ask(f"http://{address}/readyz").replace(b" ", b"")
        finally:
            server.terminate()
        assert server.wait(SOON_S) == 0


def test_a_database_that_was_set_back_is_not_served(make_store):
    """A server that would write does not begin where the store shows more than the database."""
    store = make_store("postgres-files")
    with cf.init(store.location) as ledger:
        ledger.append(b"an entry")
        store.signer = load_key(Places(ledger.origin).keys / "log.pem")
    store.set_back()
    command = [sys.executable, "-m", "counterfoil", "serve", "--ledger", store.location]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=SOON_S, check=False)
    assert refused.returncode == cf.ConflictError.exit_code
    assert "has 0 entries, and 2 of this log were shown already" in refused.stderr


def test_a_server_says_that_its_database_was_set_back(make_store):
    """It is not ready any more, whether anybody appends or not, and as long as it is so."""
    store = make_store("postgres-files")
    with cf.init(store.location) as ledger:
        ledger.append(b"an entry")
        store.signer = load_key(Places(ledger.origin).keys / "log.pem")
    address = f"127.0.0.1:{servers.free_port()}"
    command = [sys.executable, "-m", "counterfoil", "serve", "--listen", address, "--public-read"]
    with subprocess.Popen([*command, "--ledger", store.location], env=os.environ) as server:
        try:
            assert b'"writer":"ok"' in ask(f"http://{address}/readyz")
            store.set_back()
            until = time.monotonic() + SOON_S
            while (answer := look(f"http://{address}/readyz"))[0] == 200:
                assert time.monotonic() < until
                time.sleep(0.2)
            assert answer[0] == 503
            assert b'"writer":"set back"' in answer[1]
            time.sleep(3)
            assert look(f"http://{address}/readyz") == answer
        finally:
            server.terminate()
        assert server.wait(SOON_S) == 0


def look(url):
    """Get status and body, whatever it is."""
    try:
        with urllib.request.urlopen(url, timeout=SOON_S) as answer:  # noqa: S310 our own
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def ask(url):
    """Get what is there, once it is."""
    until = time.monotonic() + SOON_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=SOON_S) as answer:  # noqa: S310 our own
                return answer.read()
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < until
            time.sleep(0.2)
