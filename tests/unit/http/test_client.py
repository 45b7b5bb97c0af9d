"""Our client at our server: the same ledger object, over HTTP, with nothing believed."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil import remote
from counterfoil.cli import app
from counterfoil.core.receipt import check_receipt
from counterfoil.core.statement import Subject
from counterfoil.errors import RefusedError
from counterfoil.ledger.places import Places, make_principal_key

SUBJECT = [Subject("credit", {"sha256": "ab" * 32})]
WAIT_S = 60.0


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Moves into the home of somebody else, who has the keys of some principals."""

    def move(place, *principals: str) -> None:
        with place.open() as ledger:
            origin = ledger.origin
        theirs = place.home / "keys" / Places(origin).slug
        monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "reader-home"))
        keys = Places(origin).keys
        keys.mkdir(parents=True)
        for name in principals:
            for suffix in (".pem", ".vkey"):
                shutil.copy(theirs / f"{name}{suffix}", keys)

    return move


def test_a_principal_reads_and_writes(serve, place, reader):
    """What is closed to strangers is open to whom the policy names; each entry is taken once."""
    served = serve()
    reader(place, "risk")
    with cf.open(served.url, trust=place.folder / "trust.toml") as ledger:
        said = ledger.attest(SUBJECT, "approval", {"stage": "production"}, by=("risk",))
        check_receipt(ledger.entry(said.index), said.receipt, ledger.key)
        assert ledger.append_envelope(said.envelope).index == said.index
        assert [one.index for one in ledger.find(predicate="approval")] == [said.index]
        assert ledger.audit().size == said.index + 1
        with pytest.raises(RefusedError):
            ledger.attest([Subject("other", {"sha256": "ab" * 32})], "dataset", {}, by=("risk",))
    with place.open() as ledger:
        assert ledger.envelope(said.index) == said.envelope


def test_status_says_that_a_server_decides_who_writes(serve, place, reader):
    """Not any process may append to a ledger elsewhere; its server is asked."""
    served = serve("--public-read")
    reader(place)
    cf.open(served.url, trust=place.folder / "trust.toml").close()
    shown = CliRunner().invoke(app, ["log", "status", "--ledger", served.url])
    assert "whom its server lets, through it" in shown.stdout


def test_a_stranger_is_told_what_it_takes(serve, place, reader):
    """Reading without a key is refused; the log's name is known before the first reading."""
    served = serve()
    reader(place)
    trust = place.folder / "trust.toml"
    with pytest.raises(RefusedError, match="401"):
        cf.open(served.url, trust=trust)
    policy, places = remote.trust_policy(trust, served.url)
    assert remote.origin_at(served.url) == policy.log.origin
    assert places.trust.exists()
    with pytest.raises(RefusedError, match="401"):
        cf.open(served.url)


def test_who_does_not_sign_is_told_why(serve, place, reader):
    """The log is not known, no key is here, or the policy does not name it: each has its remedy."""
    served = serve()
    reader(place)
    trust = place.folder / "trust.toml"
    command = f"counterfoil policy trust FILE --at {served.url}"

    def hint():
        with pytest.raises(RefusedError, match="401") as caught:
            cf.open(served.url)
        return caught.value.hint

    assert "which log is there is not known" in (said := hint())
    assert command in said
    policy, places = remote.trust_policy(trust, served.url)
    assert "no key of a principal" in (said := hint())
    assert f"{command} --key NAME" in said
    make_principal_key(places, "stranger")
    assert f"version {policy.version}) names none of the keys on this machine: stranger" in hint()
    served.stop()
    public = serve("--public-read")
    with (
        cf.open(public.url, trust=trust) as ledger,
        pytest.raises(RefusedError, match="401") as caught,
    ):
        ledger.attest(SUBJECT, "approval", {"stage": "production"}, by=("stranger",))
    assert "names none of the keys" in caught.value.hint


def test_large_statements_come_back_whole(serve, place, reader):
    """The server keeps them beside the log, and both sides make the same entry of them."""
    served = serve("--public-read")
    reader(place, "risk")
    with cf.open(served.url, trust=place.folder / "trust.toml") as ledger:
        said = ledger.attest(SUBJECT, "approval", {"comment": "x" * 40_000}, by=("risk",))
        assert ledger.entry(said.index).startswith(b'{"counterfoil":"blob/v1"')
    with cf.open(served.url) as ledger:
        assert ledger.envelope(said.index) == said.envelope


def test_a_server_that_is_killed_loses_nothing_of_a_client(serve, place, reader):
    """A call that met a dead server finds the next one, and its entries are in once."""
    served = serve("--public-read")
    reader(place, "risk")
    done: list[int] = []
    with cf.open(served.url, trust=place.folder / "trust.toml") as ledger:

        def work() -> None:
            for number in range(30):
                body = {"comment": str(number)}
                done.append(ledger.attest(SUBJECT, "approval", body, by=("risk",)).index)

        thread = threading.Thread(target=work)
        thread.start()
        until = time.monotonic() + WAIT_S
        while len(done) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        served.kill()
        again = serve("--public-read", port=served.port)
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert len(set(done)) == 30
        assert ledger.audit().size == len(ledger.find())
    assert again.stop(signal.SIGTERM) == 0


def test_a_mirror_is_served_like_the_log(serve, place, reader, tmp_path):
    """What was mirrored from a server is a ledger, and others verify it from there."""
    served = serve("--public-read")
    reader(place)
    mirror = remote.Mirror(served.url, tmp_path / "mirror", trust=place.folder / "trust.toml")
    try:
        found = mirror.update()
    finally:
        mirror.close()
    again = serve("--ledger", tmp_path / "mirror", "--read-only", "--public-read")
    with cf.open(tmp_path / "mirror") as copy, cf.open(again.url) as log:
        assert copy.audit() == log.audit()
        assert found.root == log.root
