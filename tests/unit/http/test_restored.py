"""A server whose database is restored from a backup under it, while requests come in."""

from __future__ import annotations

import time

import pytest

from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.ledger.keyfiles import load_key

from .conftest import make_place, start

SCHEMA = "restored"
QUICK_S = 15.0  # an index that is made again and again takes 30 seconds to be given up


@pytest.fixture
def served(tmp_path, postgres):
    """A server of a log on PostgreSQL, with a few envelopes in it."""
    url = f"{postgres.url}?tiles=file://{tmp_path}/tiles&schema={SCHEMA}"
    one = start(make_place(tmp_path, url), "--rate", "100000", "--public-read")
    try:
        for number in range(3):
            assert one.post(one.envelope(number)).status == 200
        yield one
    finally:
        one.kill()
        one.process.stdout.close()
        for schema in (SCHEMA, "away"):
            postgres.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def require_refusals(served, *asked):
    """Each is told to come back, and nobody's request is called a bad one."""
    for answer in asked:
        assert answer.status == 503, answer.body
        assert answer.headers["retry-after"]
        assert answer.json["type"] == "urn:counterfoil:problem:ConflictError"
    said = [one for one in served.logs() if one["message"] != "answered"]
    assert any("tables that are not" in one["message"] for one in said)
    assert "Traceback" not in served.errors.read_text()
    assert served.ask("GET", "/readyz").status == 503


RESTORING = {
    "no tables": (f"ALTER SCHEMA {SCHEMA} RENAME TO away", f"ALTER SCHEMA away RENAME TO {SCHEMA}"),
    "no rows": (
        f"ALTER SCHEMA {SCHEMA} RENAME TO away; CREATE SCHEMA {SCHEMA};"
        + "".join(
            f"CREATE TABLE {SCHEMA}.{name} (LIKE away.{name} INCLUDING ALL);"
            for name in ("log", "published", "leader", "queue", "placed", "indexed")
        ),
        f"DROP SCHEMA {SCHEMA} CASCADE; ALTER SCHEMA away RENAME TO {SCHEMA}",
    ),
}


@pytest.mark.parametrize("begin", RESTORING)
def test_while_its_database_is_restored_every_request_is_to_be_sent_again(served, postgres, begin):
    """Where tables or rows are missing it is the server's trouble, said so, and over with it."""
    before, after = RESTORING[begin]
    envelope = served.envelope("meanwhile")
    postgres.run(before)
    require_refusals(
        served,
        served.ask("GET", "/checkpoint"),
        served.ask("GET", "/tile/0/000.p/200"),
        served.ask("GET", "/receipts/100"),
        served.ask("GET", "/find?subject=credit"),
        served.post(envelope),
        served.post(served.envelope("meanwhile, too")),
    )
    postgres.run(after)
    until = time.monotonic() + 60
    while (answer := served.post(envelope)).status == 503:
        assert time.monotonic() < until, answer.body
        time.sleep(0.2)
    assert answer.status == 200
    assert served.post(envelope).json["entries"][0]["index"] == answer.json["entries"][0]["index"]
    assert served.ask("GET", "/find?subject=credit").status == 200


def test_once_its_database_was_set_back_it_serves_what_it_has_shown_and_no_more(served, postgres):
    """Checkpoint, tiles and receipts stay as they were; whoever writes or searches waits."""
    shown = served.ask("GET", "/checkpoint").body
    assert served.ask("GET", "/find?subject=credit").status == 200
    with served.open() as ledger:
        size, signer = ledger.size, load_key(ledger.places.keys / "log.pem")
    note = sign_checkpoint(Checkpoint(signer.key.name, 0, EMPTY_ROOT), signer)
    for table in ("log", "published"):
        postgres.run(
            f"ALTER TABLE {SCHEMA}.{table} DISABLE TRIGGER ALL;"  # noqa: S608 our own
            f"UPDATE {SCHEMA}.{table} SET size = 0, root = sha256(''),"
            f" checkpoint = '\\x{note.hex()}'"
        )
    postgres.run(f"TRUNCATE {SCHEMA}.queue, {SCHEMA}.placed")
    began = time.monotonic()
    for answer in (
        served.ask("GET", "/find?subject=credit"),
        served.post(served.envelope("after")),
    ):
        assert answer.status == 503, answer.body
        assert answer.headers["retry-after"] == "1"
    assert time.monotonic() - began < QUICK_S
    assert served.ask("GET", "/checkpoint").body == shown
    assert served.ask("GET", f"/receipts/{size - 1}").status == 200
    assert served.ask("GET", f"/tile/0/000.p/{size}").status == 200
    ready = served.ask("GET", "/readyz")
    assert (ready.status, ready.json["writer"]) == (503, "set back")
    why = [one["message"] for one in served.logs() if "/find" in one["message"]]
    assert why
    assert "were shown already" in why[0]
    assert "Traceback" not in served.errors.read_text()
