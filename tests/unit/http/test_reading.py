"""The read API of a server process, held against C2SP tlog-tiles and against an export."""

from __future__ import annotations

import gzip
import http.client
import subprocess
import sys

import pytest

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.merkle import Hash, check_inclusion, leaf_hash, prove_inclusion, root_of
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.tile import bundle_path, parse_bundle, tile_path, tile_width
from counterfoil.ledger import export_site
from counterfoil.ledger.blobs import REFERENCE

from .conftest import make_place, start

SIZE = 600


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A public server of a log with `SIZE` entries."""
    place = make_place(tmp_path_factory.mktemp("public"))
    served = start(place, "--public-read", "--rate", "100000")
    for first in range(2, SIZE, 100):
        envelopes = [served.envelope(n) for n in range(first, min(first + 100, SIZE))]
        assert served.post(*envelopes).status == 200
    yield served
    served.kill()
    served.process.stdout.close()


@pytest.fixture(scope="module")
def key(public):
    with public.open() as ledger:
        return ledger.key


@pytest.fixture(scope="module")
def checkpoint(public, key):
    return open_checkpoint(public.ask("GET", "/checkpoint").body, key)


def test_the_checkpoint_opens_and_is_not_kept_by_caches(public, checkpoint):
    """Signed by the log; its type and caching are those of the specification."""
    assert checkpoint.size == SIZE
    reply = public.ask("GET", "/checkpoint")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"


def test_every_file_is_byte_for_byte_the_one_that_an_export_writes(public, tmp_path):
    """What a web server would hand out and what this one does are the same site."""
    with public.open() as ledger:
        site = export_site(ledger, tmp_path / "site")
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    assert len(files) == site.files == 8
    for path in files:
        reply = public.ask("GET", f"/{path.relative_to(site.folder)}")
        assert (reply.status, reply.body) == (200, path.read_bytes())


def test_tiles_and_bundles_lead_to_the_root(public, checkpoint):
    """Whoever has the key needs nothing else: entries hash to the leaves, these to the root."""
    leaves = []
    for number in range((SIZE + 255) // 256):
        width = tile_width(SIZE, 0, number)
        bundle = public.ask("GET", f"/{bundle_path(number, width)}")
        tile = public.ask("GET", f"/{tile_path(0, number, width)}")
        for reply in (bundle, tile):
            assert reply.headers["content-type"] == "application/octet-stream"
            assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        hashed = [leaf_hash(entry) for entry in parse_bundle(bundle.body, width)]
        assert b"".join(hashed) == tile.body
        leaves += hashed
    assert root_of(leaves) == checkpoint.root
    upper = public.ask("GET", f"/{tile_path(1, 0, 2)}").body
    assert [Hash(upper[:32]), Hash(upper[32:])] == [root_of(leaves[:256]), root_of(leaves[256:512])]
    path = prove_inclusion(
        300, SIZE, lambda level, index: root_of(leaves[index << level : (index + 1) << level])
    )
    check_inclusion(leaves[300], 300, SIZE, path, checkpoint.root)


def test_partial_tiles_of_smaller_sizes_stay(public):
    """A verifier with an older checkpoint finds what that calls for."""
    whole = public.ask("GET", "/tile/0/000").body
    for width in (1, 100, 255):
        assert public.ask("GET", f"/tile/0/000.p/{width}").body == whole[: 32 * width]
    entries = parse_bundle(public.ask("GET", "/tile/entries/000").body, 256)
    partial = public.ask("GET", "/tile/entries/000.p/7").body
    assert parse_bundle(partial, 7) == entries[:7]


@pytest.mark.parametrize(
    "path",
    [
        "/tile/0/002",
        "/tile/0/002.p/89",
        "/tile/0/003.p/1",
        "/tile/1/000",
        "/tile/1/000.p/3",
        "/tile/2/000.p/1",
        "/tile/63/000.p/1",
        "/tile/64/000.p/1",
        "/tile/entries/002",
        "/tile/0/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/0",
        "/tile/0/000.p/01",
        "/tile/0/x000/000",
        "/tile/00/000",
        "/tile/-1/000",
        "/tile/0/000/",
        "/tile/0/%30%30%30",
        "/tile//000",
        "/tile/0/x999/x999/x999/x999/x999/x999/x999",
        "/tile/entries/../../checkpoint",
        "/tile/" + "x" * 5000,
    ],
)
def test_what_the_size_does_not_have_is_not_there(public, path):
    """Beyond the published size, or spelt in another way: 404, and no cache keeps that."""
    reply = public.ask("GET", path)
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "squeezed"),
    [
        ("gzip", True),
        ("gzip, identity", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, identity", False),
        ("identity", False),
        ("br", False),
        ("", False),
    ],
)
def test_bundles_come_compressed_to_those_who_ask(public, asked, squeezed):
    """The bytes are the same; tiles are hashes, which nothing makes shorter."""
    plain = public.ask("GET", "/tile/entries/000").body
    reply = public.ask("GET", "/tile/entries/000", headers={"Accept-Encoding": asked})
    assert (reply.headers.get("content-encoding") == "gzip") is squeezed
    assert reply.headers["vary"] == "Accept-Encoding"
    if squeezed:
        assert len(reply.body) < len(plain) * 0.8
    assert (gzip.decompress(reply.body) if squeezed else reply.body) == plain
    tile = public.ask("GET", "/tile/0/000", headers={"Accept-Encoding": asked})
    assert "content-encoding" not in tile.headers


def test_heads_are_those_of_the_answers(public):
    """HEAD says what GET would, and sends no body."""
    for path in ("/checkpoint", "/tile/0/000", "/tile/entries/000", "/find", "/receipts/5"):
        get, head = public.ask("GET", path), public.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        for name in ("content-type", "content-length", "cache-control"):
            assert head.headers.get(name) == get.headers.get(name)


def test_a_connection_is_used_again(public):
    """Readers fetch hundreds of tiles: one connection carries them, errors included."""
    connection = http.client.HTTPConnection("127.0.0.1", public.port, timeout=30)
    for path, status in [("/checkpoint", 200), ("/nothing", 404), ("/tile/0/000", 200)] * 20:
        connection.request("GET", path)
        reply = connection.getresponse()
        assert (reply.status, reply.will_close) == (status, False)
        reply.read()
    connection.close()


def test_receipts_hold_for_what_is_in_the_bundles(public, key):
    """Each entry of the log has a receipt that its bytes are checked with."""
    for number in (0, 1, 255, 256, 599):
        bundle, place = divmod(number, 256)
        width = tile_width(SIZE, 0, bundle)
        entry = parse_bundle(public.ask("GET", f"/{bundle_path(bundle, width)}").body, width)[place]
        reply = public.ask("GET", f"/receipts/{number}")
        receipt = parse_receipt(reply.body)
        assert check_receipt(entry, receipt, key).size == SIZE
        assert receipt.index == number
    for text in ("600", "01", "-1", "x", "9" * 19, "9" * 400, "1.0", ""):
        assert public.ask("GET", f"/receipts/{text}").status == 404


def test_what_is_found_is_shown_to_be_there(public, key):
    """Each hit comes with its entry and a receipt; how many there are is for the caller to say."""
    found = public.ask("GET", "/find?predicate=approval&last=3").json
    assert [one["index"] for one in found["found"]] == [597, 598, 599]
    assert found["size"] == SIZE
    for one in found["found"]:
        assert not one["entry"].encode().startswith(REFERENCE)
        receipt = parse_receipt(one["receipt"].encode())
        check_receipt(one["entry"].encode(), receipt, key)
        assert receipt.index == one["index"]
    label = public.keys["risk"].key.label.replace("+", "%2B")
    found = public.ask("GET", f"/find?subject=credit&issuer={label}&last=100").json["found"]
    assert len(found) == 100
    assert public.ask("GET", "/find?subject=nobody").json["found"] == []
    assert len(public.ask("GET", "/find").json["found"]) == 20
    policies = public.ask("GET", "/find?predicate=urn:counterfoil:predicate:policy:v1").json
    assert [one["index"] for one in policies["found"]] == [0, 1]


@pytest.mark.parametrize(
    "query",
    [
        "last=0",
        "last=101",
        "last=x",
        "last=1&last=2",
        "last=" + "9" * 100,
        "unknown=1",
        "predicate=Not%20A%20Name",
        "subject",
        "&",
        "subject=%ff",
        "subject=" + "x" * 5000,
    ],
)
def test_questions_that_are_none(public, query):
    """A parameter that is unknown, repeated or out of bounds is refused, not passed over."""
    assert public.ask("GET", f"/find?{query}").status == 400


def test_a_search_for_half_a_character_finds_nothing(public):
    """Whatever can be written in a query is an answer or a problem, never a failure."""
    for query in ("subject=%00", "subject=%ed%a0%80", "issuer=%27%22%3B--", "subject=%F0%9F%98%80"):
        assert public.ask("GET", f"/find?{query}").status in {200, 400}


def test_health_and_figures(public):
    """Whether it lives, whether it works, and what Prometheus reads."""
    assert public.ask("GET", "/healthz").body == b"ok\n"
    ready = public.ask("GET", "/readyz")
    assert (ready.status, ready.json) == (
        200,
        {"ready": True, "tree": "ok", "writer": "ok", "ending": False},
    )
    text = public.ask("GET", "/metrics").body.decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert float(figures["counterfoil_log_size"]) == SIZE
    assert float(figures["counterfoil_entries_appended_total"]) == SIZE - 2
    assert 'counterfoil_http_requests_total{method="POST",route="/entries",status="200"}' in figures
    assert not any("/tile/0" in name for name in figures)


def test_a_second_reader_sees_what_the_writer_publishes(public):
    """A read-only server beside it shows each new checkpoint at once, and takes nothing."""
    reader = start(public, "--public-read", "--read-only")
    try:
        assert reader.post(public.envelope("no")).status == 403
        assert reader.ask("GET", "/readyz").json["writer"] == "read-only"
        first = public.ask("GET", "/checkpoint").body
        assert reader.ask("GET", "/checkpoint").body == first
    finally:
        reader.kill()
        reader.process.stdout.close()


def test_a_log_of_another_program_would_read_the_same(public):
    """The command line's own audit agrees with what is served."""
    command = [sys.executable, "-m", "counterfoil", "log", "audit", "--ledger", public.folder]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env={
            "COUNTERFOIL_HOME": str(public.home),
            "PATH": "",
            "PYTHONPATH": ":".join(filter(None, sys.path)),
        },
    )
