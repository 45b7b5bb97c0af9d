from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from counterfoil.core.merkle import Hash, root_of
from counterfoil.core.record import seal_rows
from counterfoil.errors import CounterfoilError, UnavailableError
from counterfoil.ledger import journal
from counterfoil.vault import FileKeyStore, StreamStore
from counterfoil.vault.epoch import Epoch, format_epoch, parse_epoch
from counterfoil.vault.intent import (
    MAX_ERASED,
    format_intent,
    open_details,
    parse_intent,
    seal_details,
)
from counterfoil.vault.seal import (
    EpochKeys,
    format_row,
    open_payload,
    parse_row,
    rewrap,
    seal_payloads,
)

STREAM = b"S" * 32
WHERE = "vault.json"
hashes = st.binary(min_size=32, max_size=32)
subjects = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
texts = st.text("ABCabc012-_", max_size=20)


@given(hashes, hashes, st.integers(0, 2**32 - 1), st.lists(st.binary(max_size=200), max_size=5))
def test_sealing_round_trips(key, leaf, first, rows):
    """Whatever is sealed opens in its place, before and after a change of epoch."""
    keys, new = EpochKeys.derive(1, key), EpochKeys.derive(2, bytes(reversed(key)))
    leaves = [Hash(leaf)] * len(rows)
    payloads = seal_payloads(keys, STREAM, first, leaves, rows, random=os.urandom)
    for index, (row, payload) in enumerate(zip(rows, payloads, strict=True), first):
        assert open_payload(keys, STREAM, index, Hash(leaf), payload) == row
        slot = rewrap(keys, new, STREAM, index, payload[:64], nonce=os.urandom(12))
        assert open_payload(new, STREAM, index, Hash(leaf), slot + payload[64:]) == row


@given(st.binary(max_size=200))
def test_arbitrary_payloads_raise_our_errors(payload):
    """Bytes that we did not seal never open, and raise nothing but our errors."""
    keys = EpochKeys.derive(1, b"K" * 32)
    for data in (payload, b"\0\0\0\x01" + payload):
        with pytest.raises(CounterfoilError):
            open_payload(keys, STREAM, 0, Hash(b"L" * 32), data)


@given(st.none() | subjects, st.lists(texts, min_size=1, max_size=5))
def test_rows_round_trip(subject, disclosures):
    """Any name and any disclosures read back as they were."""
    assert parse_row(format_row(subject, disclosures)) == (subject, tuple(disclosures))


@given(
    st.integers(1, 2**32 - 1), st.integers(0, 2**40), st.integers(1, 2**32), st.booleans(), hashes
)
def test_epochs_round_trip(number, began, length, retires, stream):
    """Parsing inverts formatting, both ways."""
    epoch = Epoch(stream, number, began, began + length, number - 1 if retires else 0)
    data = format_epoch(epoch)
    assert parse_epoch(data, WHERE) == epoch
    assert format_epoch(parse_epoch(data, WHERE)) == data


@given(st.sets(st.integers(0, 2**40), min_size=1, max_size=20), st.binary(max_size=100))
def test_intents_round_trip(indices, details):
    """Parsing inverts formatting, and the details open."""
    assert len(indices) <= MAX_ERASED
    intent = seal_details(b"K" * 32, STREAM, sorted(indices), details, os.urandom)
    assert parse_intent(format_intent(intent)) == intent
    assert open_details(b"K" * 32, STREAM, intent) == details


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 7))
def test_arbitrary_files_raise_our_errors(data, at, bit):
    """Arbitrary bytes and every flipped bit are refused with our errors, or read back the same."""
    intent = format_intent(seal_details(b"K" * 32, STREAM, [1, 2], b"x", os.urandom))
    state = format_epoch(Epoch(STREAM, 2, 5, 10, 1))
    for good, read, write in (
        (intent, parse_intent, format_intent),
        (state, lambda data: parse_epoch(data, WHERE), format_epoch),
    ):
        flipped = bytearray(good)
        flipped[at % len(good)] ^= 1 << bit
        for candidate in (data, bytes(flipped)):
            try:
                value = read(candidate)
            except CounterfoilError:
                continue
            assert write(value) == candidate


class VaultMachine(RuleBasedStateMachine):
    """A stream through appends, erasures, epochs, restarts and kills, against a plain list."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.journal_bytes = journal.JOURNAL_BYTES
        journal.JOURNAL_BYTES = 1 << 14  # quicker to write
        self.keys = FileKeyStore(self.folder / "keys")
        self.store = StreamStore.create(self.folder / "stream", STREAM, self.keys)
        self.model = []  # subject, record, is it erased

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)
        journal.JOURNAL_BYTES = self.journal_bytes

    @rule(people=st.lists(st.sampled_from(["anna", "bert", None]), min_size=1, max_size=4))
    def append(self, people):
        values = [("decision", who) for who in people]
        sealed = seal_rows(STREAM, ("kind", "inputs"), values, os.urandom(64 * len(people)))
        taken = self.store.append(sealed, people)
        assert taken == range(len(self.model), len(self.model) + len(people))
        self.model += [[who, row.record, False] for who, row in zip(people, sealed, strict=True)]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def destroy(self, data):
        index = data.draw(st.integers(0, len(self.model) - 1))
        self.store.destroy([index])
        self.model[index][2] = True

    @rule()
    def rotate(self):
        assert self.store.rotate_epoch() == ()

    @rule(gently=st.booleans())
    def restart(self, gently):
        if gently:
            self.store.close()
        else:  # what a kill leaves: nothing settled, nothing flushed
            self.store._index._waiting.clear()
            self.store._index._waiting_rows = 0
            self.store._index.close()
            self.store._tree._is_sound = False
            self.store._tree.close()
        self.store = StreamStore.open(self.folder / "stream", self.keys, write=True)

    @invariant()
    def agrees(self):
        assert self.store.size == len(self.model)
        assert self.store.root() == root_of([self.store.leaf(n) for n in range(len(self.model))])
        for index, (who, record, is_erased) in enumerate(self.model):
            if is_erased:
                with pytest.raises(UnavailableError, match="erased"):
                    self.store.disclosures(index)
            else:
                assert self.store.record(index) == record
                assert self.store.subject(index) == who
        for name in ("anna", "bert"):
            kept = [n for n, (who, _, gone) in enumerate(self.model) if who == name and not gone]
            assert self.store.find(name) == self.store.find(name, scan=True) == kept


TestVaultMachine = VaultMachine.TestCase
TestVaultMachine.settings = settings(
    max_examples=settings().max_examples // 6, stateful_step_count=12, deadline=None
)
