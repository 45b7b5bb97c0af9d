"""A log ends and another one begins where it ended; proofs of the old one hold by the new one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.canonical import format_json
from counterfoil.core.checkpoint import Checkpoint, LogKeys
from counterfoil.core.envelope import format_envelope, parse_envelope, sign_envelope
from counterfoil.core.keys import Algorithm
from counterfoil.core.receipt import format_receipt
from counterfoil.core.shard import (
    Handover,
    Takeover,
    check_carried,
    format_carried,
    handover_statement,
    parse_carried,
    takeover_of,
    takeover_statement,
)
from counterfoil.core.statement import format_statement
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    ProofError,
    RefusedError,
    SignatureError,
    VerificationError,
)
from counterfoil.ledger import sharding
from counterfoil.ledger.keyfiles import generate_key, load_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.rotation import rotate_key
from counterfoil.ledger.sharding import carry_receipt, hand_over_to, read_handover, shard_after


@pytest.fixture
def old(tmp_path):
    """A ledger with entries, closed."""
    with cf.init(tmp_path / "2026", organisation="Northbank") as ledger:
        ledger.append_many([b"one", b"two", b"three"])
    return tmp_path / "2026"


@pytest.fixture
def new(old, tmp_path):
    """The shard after it."""
    with cf.open(old) as ledger, ledger.shard(tmp_path / "2027") as following:
        following.append(b"in the new year")
    return tmp_path / "2027"


def test_a_closed_log_takes_nothing_more_and_says_where_to_go_on(old, new):
    """For ever: opening it for writing is refused, reading goes on."""
    with cf.open(new) as following, cf.open(old) as ledger:
        assert shard_after(ledger) == following.key
        with pytest.raises(ConflictError, match="goes on as") as refused:
            ledger.append(b"too late")
        assert following.origin in str(refused.value)
        assert ledger.entry(1) == b"one"
        ledger.audit()
    assert cf.verify(old).trusted
    assert cf.verify(new).trusted


def test_the_hand_over_names_the_policy_in_force(old, tmp_path):
    """That is the newest which the log shows, whatever this machine has adopted."""
    with cf.open(old) as ledger:
        adopted = ledger.places.trust.read_bytes()
        ledger.policy.enforce()
        newest = ledger.policy.show()
        ledger.places.trust.write_bytes(adopted)
        assert ledger.policy.show() != newest
    with cf.open(old) as ledger, ledger.shard(tmp_path / "2027"):
        assert read_handover(ledger).policy == newest.digest.hex()


def test_the_new_log_begins_where_the_old_one_ended(old, new):
    """Its first entry names the final size and root, and both logs have signed it."""
    with cf.open(new) as following, cf.open(old) as ledger:
        begun = takeover_of(following.envelope(0), following.keys)
        assert begun.checkpoint == Checkpoint(ledger.origin, ledger.size, ledger.root)
        assert begun.keys == ledger.keys
        assert following.policy.show().log.operator == "Northbank"
        # The policy comes after it.
        assert [one.index for one in following.find(predicate="takeover")] == [0]


def test_a_receipt_of_an_old_shard_holds_by_the_newest_policy(old, new, tmp_path):
    """Across two shards, one of which changed its key, by a policy that names the last alone."""
    with cf.open(new) as middle:
        rotate_key(middle)
    with cf.open(new) as middle, middle.shard(tmp_path / "2028") as newest:
        newest.append(b"later")
        policy = newest.policy.show()
        with cf.open(old) as ledger:
            carried = format_carried(carry_receipt(ledger, 2, middle, newest))
            origins = [one.origin for one in (ledger, middle, newest)]
            verdict = cf.verify(carried, entry=b"two", trust=policy)
            assert verdict.facts == {"index": 2, "size": ledger.size, "log": ledger.origin}
            assert any(origins[1] in one and origins[2] in one for one in verdict.proved)
            with pytest.raises(ProofError):
                cf.verify(carried, entry=b"three", trust=policy)
            plain = format_receipt(ledger.receipt(2))
            with pytest.raises(SignatureError):
                cf.verify(plain, entry=b"two", trust=policy)
            with pytest.raises(ConflictError, match="is not the shard after"):
                carry_receipt(ledger, 2, newest)
            with pytest.raises(FormatError):
                carry_receipt(ledger, 2)
    with pytest.raises(FormatError, match="says nothing"):
        cf.verify(carried, trust=policy)


def test_a_carried_receipt_that_was_changed_is_none(old, new):
    """Another end, another order, another takeover, too little."""
    with cf.open(new) as following, cf.open(old) as ledger:
        carried = carry_receipt(ledger, 1, following)
        assert parse_carried(format_carried(carried)) == carried
        covering = check_carried(b"one", carried, following.keys)
        assert [one.origin for one in covering] == [ledger.origin, following.origin]
        (step,) = carried.takeovers
        again = following.append(step[0])  # the same words later, as anybody can say them again
        late = step[0], format_receipt(following.receipt(again.index))
        with pytest.raises(ProofError, match="a takeover stands at"):
            check_carried(b"one", replace(carried, takeovers=(late,)), following.keys)
        second = following.entry(1), format_receipt(following.receipt(1))
        for changed in (
            replace(carried, takeovers=()),
            replace(carried, takeovers=(step, step)),
            replace(carried, takeovers=(second,)),
            replace(carried, takeovers=((step[0], second[1]),)),
            replace(carried, receipt=second[1]),
        ):
            with pytest.raises(CounterfoilError):
                check_carried(b"one", changed, following.keys)
        body = json.loads(format_carried(carried))
        for name in body:
            with pytest.raises(FormatError):
                parse_carried(format_json({key: body[key] for key in body if key != name}))
        with pytest.raises(FormatError):
            parse_carried(format_json(body | {"takeovers": body["takeovers"] * 65}))


def test_a_receipt_before_the_end_is_not_carried(old, tmp_path):
    """The new log names the old one's final root, and no other."""
    with cf.open(old) as ledger:
        early = format_receipt(ledger.receipt(1))
    with cf.open(old) as ledger, ledger.shard(tmp_path / "2027") as following:
        carried = replace(carry_receipt(ledger, 1, following), receipt=early)
        with pytest.raises(ProofError, match="took over at"):
            check_carried(b"one", carried, following.keys)


def test_a_takeover_takes_both_logs_signatures(old, new):
    """Nobody begins where somebody else's log ended without a word of that one."""
    with cf.open(new) as following, cf.open(old) as ledger:
        signer = load_key(following.places.keys / "log.pem")
        before = load_key(ledger.places.keys / "log.pem")
        end = Checkpoint(ledger.origin, ledger.size, ledger.root)
        payload = format_statement(takeover_statement(Takeover(following.origin, ledger.keys, end)))
        assert takeover_of(sign_envelope(payload, signer, before), following.keys)
        for signers in ((signer,), (before,)):
            with pytest.raises(SignatureError, match="both logs"):
                takeover_of(sign_envelope(payload, *signers), following.keys)
        stranger = LogKeys(generate_key("other.example/log", Algorithm.ED25519).key)
        with pytest.raises(VerificationError, match="belongs to the log"):
            takeover_of(sign_envelope(payload, signer, before), stranger)
        with pytest.raises(FormatError):
            takeover_of(parse_envelope(following.entry(1)), following.keys)


def test_only_the_log_itself_can_close_it(old):
    """A hand-over that somebody else signed, or for another size, closes nothing."""
    following = generate_key("next.example/log", Algorithm.ED25519)
    with cf.open(old) as ledger:
        signer = load_key(ledger.places.keys / "log.pem")
        said = Handover(following.key, None)
        for statement, by in (
            (handover_statement(ledger.origin, said, ledger.size + 1), following),
            (handover_statement(ledger.origin, said, ledger.size + 7), signer),
            (handover_statement("other.example/log", said, ledger.size + 3), signer),
            (handover_statement(ledger.origin, said, ledger.size + 4), following),
        ):
            ledger.append(format_envelope(sign_envelope(format_statement(statement), by)))
            assert shard_after(ledger) is None
    with cf.open(old) as ledger:
        ledger.append(b"it goes on")


def test_a_shard_that_was_stopped_is_completed(old, tmp_path, monkeypatch):
    """Between the old log's end and the new one's beginning, or before both."""
    folder = tmp_path / "2027"

    def crash(*_):
        raise KeyboardInterrupt

    for step in ("handover_statement", "takeover_statement"):
        with monkeypatch.context() as killed, cf.open(old) as ledger:
            killed.setattr(sharding, step, crash)
            with pytest.raises(KeyboardInterrupt):
                ledger.shard(folder)
            ledger.refresh()
            assert (shard_after(ledger) is None) == (step == "handover_statement")
    with cf.open(old) as ledger, ledger.shard(folder) as following:
        assert takeover_of(following.envelope(0), following.keys)
        assert following.size == 2
    with cf.open(old) as ledger, ledger.shard(folder) as again:
        assert again.size == 2, "it is safe to repeat"


def test_a_log_has_one_shard_after_it(old, new, tmp_path):
    """A second one is refused, and so is a folder that holds something."""
    with cf.open(old) as ledger, pytest.raises(ConflictError, match="goes on as"):
        ledger.shard(tmp_path / "another")
    with cf.init(tmp_path / "busy") as busy:
        busy.append(b"something")
    with (
        cf.open(new) as ledger,
        Log(tmp_path / "busy") as busy,
        pytest.raises(ConflictError, match="entries already"),
    ):
        hand_over_to(ledger, busy)
    with cf.open(new) as ledger:
        assert shard_after(ledger) is None
        ledger.append(b"it goes on")


def test_a_log_that_keeps_records_is_not_ended(tmp_path):
    """Nobody could be erased from it afterwards; whoever means it has to say so."""
    with cf.init(tmp_path / "bank") as ledger:
        ledger.models.add(lambda rows: ["yes"] * len(rows), name="model").decide([[1]])
    with cf.open(tmp_path / "bank") as ledger:
        with pytest.raises(RefusedError):
            ledger.shard(tmp_path / "next")
        assert not (tmp_path / "next").exists()
        ledger.shard(tmp_path / "next", despite_records=True).close()
        assert shard_after(ledger) is not None
