from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest

from counterfoil.core.record import check_disclosures, parse_disclosure
from counterfoil.errors import (
    ConflictError,
    FormatError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.vault import (
    ERASURE_FIELDS,
    Eraser,
    ErasureRequest,
    FileKeyStore,
    Hold,
    StreamStore,
    read_certificate,
    request_digest,
)
from counterfoil.vault.erase import MAX_ERASED, erasure_details
from counterfoil.vault.seal import SLOT_BYTES, unwrap

REQUEST = ErasureRequest(
    "GDPR Art. 17(1)(b)", request_digest(b"Please erase me. Anna"), ("privacy office", "risk")
)
OLD = "2024-10-01T00:00:00Z"  # Regulation B lets go of it in November 2026
RECENT = "2026-11-22T10:00:00Z"
AUDIT = b"A" * 32


@pytest.fixture
def world(vault, tmp_path):
    """A stream about anna (two old decisions), bert (old) and cleo (recent), and an eraser."""
    vault.store = vault.create()
    people = [("anna", OLD), ("bert", OLD), ("anna", OLD), ("cleo", RECENT)]
    rows = [vault.decision(who, decided=when) for who, when in people]
    vault.store.append(vault.seal(*rows), [who for who, _ in people])
    vault.audit = StreamStore.create(tmp_path / "audit", AUDIT, vault.keys, clock=vault.clock)
    vault.eraser = Eraser(vault.store, vault.audit)
    yield vault
    vault.audit.close()


def test_an_erasure_erases(world):
    """The person's records open no more, everyone else's do, and every root stands."""
    root, leaves = world.store.root(), tuple(world.store.leaf(n) for n in (0, 2))
    certificate = world.eraser.erase(world.store.find("anna", scan=True), REQUEST)
    assert certificate.leaves == leaves
    assert certificate.stream == world.stream
    assert certificate.live_erased_at == world.now
    assert certificate.final_by == world.store.epoch.ends > world.now
    assert any("memorised" in each for each in certificate.not_touched)
    for index in (0, 2):
        with pytest.raises(UnavailableError, match="erased"):
            world.store.disclosures(index)
    assert [world.store.subject(n) for n in (1, 3)] == ["bert", "cleo"]
    assert world.store.find("anna") == []
    assert world.store.root() == root
    assert tuple(world.store.leaf(n) for n in (0, 2)) == leaves


def test_nothing_of_the_person_is_on_the_disk(world):
    """No file of ledger, vault or key store holds plaintext, ciphertext, key, salt or tag."""
    store = world.store
    store._index.flush()
    needles = [b"needle-anna", b"anna"]
    for index in (0, 2):
        payload = store._tree.payload(index)
        needles += [payload[4:SLOT_BYTES], payload[SLOT_BYTES:]]
        needles.append(unwrap(store._keys, store.stream, index, payload[:SLOT_BYTES]))
        for text in store.disclosures(index):
            needles += [text.encode(), parse_disclosure(text).salt]
    query = "SELECT DISTINCT tag FROM record WHERE place IN (0, 2)"
    needles += [tag for (tag,) in store._index._database.execute(query)]
    world.eraser.erase([0, 2], REQUEST)
    assert [world.files_with(needle) for needle in needles] == [[]] * len(needles)
    store.close()
    world.audit.close()
    assert [world.files_with(needle) for needle in needles] == [[]] * len(needles)


def test_the_record_says_all_and_says_it_salted(world):
    """Basis, request, holds, approvers, leaves and both times can each be shown, or not."""
    certificate = world.eraser.erase([0], REQUEST)
    record = world.audit.record(certificate.record)
    values = check_disclosures(record, ERASURE_FIELDS, world.audit.disclosures(0))
    ended = {"basis": "Regulation B, 12 CFR 1002.12(b)(1): 25 months after the decision"}
    assert values == {
        "kind": "erasure",
        "stream": world.stream.hex(),
        "leaves": [world.store.leaf(0).hex()],
        "basis": REQUEST.basis,
        "request": REQUEST.request.hex(),
        "hold": [ended | {"ended": "2026-11-01"}],
        "approvers": ["privacy office", "risk"],
        "live_erased_at": world.now,
        "final_by": world.store.epoch.ends,
        "not_touched": list(certificate.not_touched),
    }
    assert world.files_with(b"privacy office") == []


def test_the_erasure_stream_has_keys_of_its_own(world, tmp_path):
    """Whoever holds the audit keys alone reads why something was erased, and no decision."""
    world.eraser.erase([0], REQUEST)
    world.store.close()
    world.audit.close()
    alone = tmp_path / "audit-keys"
    alone.mkdir(mode=0o700)
    shutil.copy(world.keys.folder / f"{AUDIT.hex()}-1.key", alone)
    with StreamStore.open(tmp_path / "audit", FileKeyStore(alone), write=False) as audit:
        assert read_certificate(audit, 0).leaves
    with pytest.raises(UnavailableError):
        StreamStore.open(world.folder, FileKeyStore(alone), write=False)


def test_erasures_are_padded(world):
    """The size of the erasure stream counts no erasures, and a pad is none."""
    eraser = replace(world.eraser, pad_to=4)
    assert eraser.erase([0], REQUEST).record == 0
    assert world.audit.size == 4
    assert eraser.erase([1], REQUEST).record == 4
    assert world.audit.size == 8
    with pytest.raises(FormatError, match="no erasure"):
        read_certificate(world.audit, 1)


def test_a_running_hold_refuses(world):
    """A record that the law wants kept is not erased, nor are others asked for with it."""
    with pytest.raises(RefusedError, match="2028-12-22"):
        world.eraser.erase([0, 3], REQUEST)
    assert [world.store.subject(n) for n in range(4)] == ["anna", "bert", "anna", "cleo"]
    assert world.audit.size == 0
    assert world.store.intent() is None


def test_a_placed_hold_refuses(world):
    """A hold that a court placed counts like one by law."""
    with pytest.raises(RefusedError, match="Order of the court"):
        world.eraser.erase([0], REQUEST, placed=[Hold("Order of the court", world.now + 1)])


def test_holds_fit_the_record_or_nothing_is_destroyed():
    """Of holds on one ground the last to end is recorded; those that do not fit are refused."""
    days = [Hold("Books", day * 86_400) for day in range(1, 700)]
    details = erasure_details(REQUEST, days, os.urandom)
    assert details["hold"] == [{"basis": "Books", "ended": "1971-12-01"}]
    with pytest.raises(FormatError, match="do not fit"):
        erasure_details(REQUEST, [Hold(f"{n}" * 500, 1) for n in range(100, 200)], os.urandom)


def test_when_the_hold_has_ended_it_erases(world):
    """Time is injected: two years on, the recent decision may go."""
    world.now += 26 * 31 * 86_400
    assert world.eraser.erase([3], REQUEST).live_erased_at == world.now


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"approvers": ("risk", "risk")}, RefusedError, "two different approvers"),
        ({"approvers": ("risk", "")}, FormatError, "characters"),
        ({"basis": ""}, FormatError, "characters"),
        ({"basis": "x" * 1001}, FormatError, "characters"),
        ({"request": b"short"}, FormatError, "digest of the request"),
    ],
)
def test_a_request_must_be_whole(world, change, error, match):
    """Two different approvers, a basis and a digest of the request, or nothing happens."""
    with pytest.raises(error, match=match):
        world.eraser.erase([0], replace(REQUEST, **change))
    assert world.store.subject(0) == "anna"


@pytest.mark.parametrize("indices", [[], [1, 0], [0, 0], [-1], list(range(MAX_ERASED + 1))])
def test_records_are_named_once_and_in_order(world, indices):
    """What to erase is listed in the one form that is written down."""
    with pytest.raises(FormatError, match="ascending"):
        world.eraser.erase(indices, REQUEST)


def test_what_is_not_there_cannot_be_erased(world):
    """An index outside the stream, and one erased before, are errors before anything happens."""
    with pytest.raises(FormatError):
        world.eraser.erase([1, 4], REQUEST)
    world.eraser.erase([0], REQUEST)
    with pytest.raises(UnavailableError, match="erased"):
        world.eraser.erase([0, 1], REQUEST)
    assert world.store.subject(1) == "bert"
    assert world.audit.size == 1


def test_a_reader_cannot_erase(world):
    """Erasing needs the writer, and a refusal leaves nothing half-done."""
    reader = world.open(write=False)
    with pytest.raises(ConflictError):
        replace(world.eraser, store=reader).erase([0], REQUEST)
    assert world.store.intent() is None
    assert world.store.subject(0) == "anna"


def test_final_by_is_never_in_the_past(world):
    """If the epoch should have ended already, it ends before the certificate names its end."""
    world.now = world.store.epoch.ends + 5
    certificate = world.eraser.erase([0], REQUEST)
    assert certificate.final_by > certificate.live_erased_at
    assert world.store.epoch.number == 2


def test_the_steps_are_told_in_order(world):
    """Whoever watches learns of each step once it is done."""
    steps = []
    replace(world.eraser, on_step=steps.append).erase([0], REQUEST)
    assert steps == ["intended", "destroyed", "recorded", "finished"]


def test_an_intent_shows_indices_only(world):
    """While an erasure is under way, the disk says which records, not why or by whose word."""
    seen = []

    def look(step):
        if step == "intended":
            seen.append((world.folder / "erasing").read_bytes())

    replace(world.eraser, on_step=look).erase([0, 2], REQUEST)
    (intent,) = seen
    assert json.loads(intent)["indices"] == [0, 2]
    for text in (b"privacy", b"GDPR", REQUEST.request.hex().encode()):
        assert text not in intent
    assert world.files_with(intent[-200:]) == []


def test_nothing_to_finish_is_nothing(world):
    """Without an interrupted erasure, `finish` does nothing."""
    assert world.eraser.finish() is None


@pytest.mark.parametrize("after", [False, True])
def test_every_refused_step_can_be_finished(world, failing_disk, after):
    """Whichever step the disk refuses, nothing happened or `finish` completes it, recorded once."""
    disk = failing_disk(10**9, after=after)
    keys = FileKeyStore(world.keys.folder, disk=disk)
    for store in (world.store, world.audit):
        store._opened._disk = store._tree._disk = store._tree._files._disk = disk
        store._tree._journal._disk = store._index._disk = disk
        store.keystore = keys
    refused = 0
    for at in range(120):
        world.store.append(world.seal(world.decision("dora", decided=OLD)), ["dora"])
        (index,) = world.store.find("dora")
        erasures = world.audit.size
        disk.left = at
        try:
            world.eraser.erase([index], REQUEST)
        except UnavailableError:
            disk.left = 10**9
            refused += 1
            certificate = world.eraser.finish()
            if certificate is None and world.audit.size == erasures:
                assert world.store.subject(index) == "dora"
                certificate = world.eraser.erase([index], REQUEST)
        else:
            disk.left = 10**9
            assert refused > 15
            return
        assert world.store.find("dora", scan=True) == []
        assert world.audit.size == erasures + 1
        assert read_certificate(world.audit, erasures).leaves == (world.store.leaf(index),)
        assert world.store.intent() is None
        assert sorted(p.name[-6:] for p in world.keys.folder.iterdir()) == ["-1.key", "-1.key"]
    pytest.fail("an erasure took more than 120 steps")


def test_a_changed_intent_is_not_carried_out_as_another(world):
    """Details sealed for some records do not become the reason why others were erased."""

    def stop(step):
        raise KeyboardInterrupt(step)

    with pytest.raises(KeyboardInterrupt):
        replace(world.eraser, on_step=stop).erase([0], REQUEST)
    path = world.folder / "erasing"
    path.write_bytes(path.read_bytes().replace(b'"indices":[0]', b'"indices":[1]'))
    with pytest.raises(VerificationError):
        world.eraser.finish()
    assert world.store.subject(1) == "bert"
