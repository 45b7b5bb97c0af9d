"""A log goes on with a new key; what was signed before stays, and the old key signs nothing new."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.canonical import format_json
from counterfoil.core.checkpoint import (
    Checkpoint,
    EarlierKey,
    LogKeys,
    open_checkpoint,
    sign_checkpoint,
)
from counterfoil.core.keys import Algorithm
from counterfoil.core.note import open_note
from counterfoil.core.policy import format_policy, parse_policy, policy_from_json, policy_to_json
from counterfoil.core.quorum import Witness
from counterfoil.core.receipt import check_receipt, format_receipt
from counterfoil.errors import (
    ConflictError,
    FormatError,
    PolicyError,
    RefusedError,
    SignatureError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.identity import read_identity
from counterfoil.ledger.keyfiles import generate_key, load_key
from counterfoil.ledger.nextkey import prepare_next_key
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.rotation import rotate_key
from counterfoil.ledger.status import check_memory
from counterfoil.ledger.treestore import TreeStore


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def folder(tmp_path):
    """A ledger with a decision in it."""
    with cf.init(tmp_path / "ledger", organisation="Northbank") as ledger:
        ledger.models.add(answer, name="model").decide([[1]])
    return tmp_path / "ledger"


@pytest.fixture
def old_key(folder):
    """The log's private key before the rotation, as a thief would have it."""
    with cf.open(folder) as ledger:
        return load_key(ledger.places.keys / "log.pem")


def test_evidence_and_receipts_of_before_stay_good(folder, tmp_path):
    """What was handed out under the old key verifies by the new policy."""
    with cf.open(folder) as ledger:
        letter = ledger.decisions.show("model", 0).evidence().save(tmp_path / "old.html")
        entry, receipt = ledger.entry(0), format_receipt(ledger.receipt(0))
        old = ledger.policy.show()
    with cf.open(folder) as ledger:
        done = rotate_key(ledger)
        assert ledger.key == done.keys.key != old.log.key
        assert done.keys.earlier[0].key == old.log.key
        ledger.append(b"under the new key")
        new_letter = ledger.decisions.show("model", 0).evidence().save(tmp_path / "new.html")
        policy = ledger.policy.show()
    for path in (letter, new_letter):
        assert cf.verify(path, trust=policy).trusted
    assert cf.verify(receipt, entry=entry, trust=policy).trusted
    assert cf.verify(folder).trusted
    # And by the old policy what it knows; of the rest it says that it knows another key.
    assert cf.verify(letter, trust=old).trusted
    with pytest.raises(PolicyError, match="with the key"):
        cf.verify(new_letter, trust=old)


def test_the_first_checkpoint_under_the_new_key_is_signed_by_both(folder):
    """Whoever knows the old key alone sees that it handed over, and its witness follows."""
    with cf.open(folder) as ledger:
        old = ledger.key
        keys = prepare_next_key(ledger.places).key
        published = []
        plain = TreeStore.publish

        def look(tree, head):
            published.append(head)
            plain(tree, head)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TreeStore, "publish", look)
            rotate_key(ledger)
    assert any(open_note(note, old, keys).verified == (old, keys) for note in published)
    with cf.open(folder) as ledger:
        ledger.append(b"more")
        check_memory(ledger)
        assert b"witness.local" in ledger.checkpoint
        assert open_note(ledger.checkpoint, old, keys).verified == (keys,)


def test_the_old_key_signs_nothing_beyond_the_hand_over(folder, old_key):
    """A thief of the old key, or a copy that goes on with it, is not the log."""
    with cf.open(folder) as ledger:
        done = rotate_key(ledger)
        size = done.keys.earlier[0].until_size
        root = ledger.root
        last = Checkpoint(ledger.origin, size, ledger.root_at(size))
        at_hand_over = sign_checkpoint(last, old_key)
        beyond = sign_checkpoint(Checkpoint(ledger.origin, size + 1, root), old_key)
        assert open_checkpoint(at_hand_over, ledger.keys).size == size
        with pytest.raises(SignatureError, match="does not count for that size"):
            open_checkpoint(beyond, ledger.keys)
        with pytest.raises(SignatureError, match="does not count"):
            check_receipt(b"x", replace(ledger.receipt(0), checkpoint=beyond), ledger.keys)


def test_the_new_key_signs_nothing_before_the_hand_over(folder):
    """History before is the old key's alone."""
    with cf.open(folder) as ledger:
        rotate_key(ledger)
        new = load_key(ledger.places.keys / "log.pem")
        early = sign_checkpoint(Checkpoint(ledger.origin, 1, ledger.root_at(1)), new)
        with pytest.raises(SignatureError, match="does not count"):
            open_checkpoint(early, ledger.keys)


def test_the_old_private_key_is_gone(folder, old_key):
    """Nothing is left that it may sign, so nothing is left to steal."""
    with cf.open(folder) as ledger:
        rotate_key(ledger)
        keys = ledger.places.keys
        assert load_key(keys / "log.pem").key == ledger.key
        assert not list(keys.glob("log.next*"))
        assert load_key(keys / "log.pem").key != old_key.key


def test_a_folder_from_before_the_rotation_is_told_to_be_older(folder, tmp_path):
    """Its key was overwritten on purpose: there is none to restore."""
    shutil.copytree(folder, tmp_path / "snapshot")
    with cf.open(folder) as ledger:
        rotate_key(ledger)
    with (
        cf.open(tmp_path / "snapshot") as ledger,
        pytest.raises(ConflictError, match="is not the key of") as caught,
    ):
        ledger.append(b"x")
    assert "this is an older copy of the ledger" in caught.value.hint


def test_rotating_again_and_again(folder):
    """Each hand-over adds one key; a reader that stayed open follows."""
    with cf.open(folder) as reader:
        for number in range(1, 4):
            with cf.open(folder) as ledger:
                rotate_key(ledger)
                ledger.append(b"%d" % number)
            reader.refresh()
            assert len(reader.keys.earlier) == number
        assert reader.key == read_identity(folder).key
    assert cf.verify(folder).trusted


def test_a_ledger_that_is_being_written_to_is_not_rotated(folder):
    """Not by this process, and not by another one."""
    with cf.open(folder) as ledger:
        ledger.append(b"now a writer")
        with pytest.raises(ConflictError, match="written to here"):
            rotate_key(ledger)
        with cf.open(folder) as other, pytest.raises(ConflictError, match="writer"):
            rotate_key(other)
    assert read_identity(folder).earlier == ()


def test_who_may_not_replace_the_policy_rotates_nothing(folder):
    """The policy would not follow, so nothing is handed over."""
    with cf.open(folder) as ledger, pytest.raises(VerificationError):
        rotate_key(ledger, by=("tickets",))
    assert read_identity(folder).earlier == ()


def test_a_policy_cannot_rewrite_the_keys_of_the_past(folder):
    """A successor adds the key that was in force, or leaves all as they are."""
    stranger = generate_key("another", Algorithm.ED25519)
    with cf.open(folder) as ledger:
        policy = ledger.policy.show()
        other, third = (generate_key(ledger.origin, Algorithm.ED25519).key for _ in range(2))
        for log in (
            replace(policy.log, key=other),
            replace(policy.log, earlier=(EarlierKey(other, 1),)),
            replace(policy.log, key=other, earlier=(EarlierKey(third, 1),)),
        ):
            with pytest.raises(PolicyError):
                ledger.policy.adopt(policy.followed_by(log=log))
        with pytest.raises(FormatError):
            replace(policy.log, earlier=(EarlierKey(stranger.key, 1),))


def test_the_keys_survive_policy_and_identity(folder):
    """Both files name all keys, and read back what was written."""
    with cf.open(folder) as ledger:
        rotate_key(ledger)
        policy = ledger.policy.show()
        assert policy.log.keys == ledger.keys == read_identity(folder)
    assert parse_policy(format_policy(policy)) == policy
    assert policy_from_json(policy_to_json(policy)) == policy
    (folder / "ledger.json").write_bytes(
        format_json({"format": "counterfoil ledger v2", "key": "x", "earlier": [1]})
    )
    with pytest.raises(FormatError):
        read_identity(folder)


def test_keys_that_do_not_follow_each_other_are_none():
    """Twice the same, ends that go back, names that differ."""
    one, two, three = (generate_key("example.org/log", Algorithm.ED25519).key for _ in range(3))
    for earlier in (
        (EarlierKey(three, 1),),
        (EarlierKey(one, 5), EarlierKey(two, 4)),
        (EarlierKey(one, -1),),
        (EarlierKey(generate_key("other", Algorithm.ED25519).key, 1),),
    ):
        with pytest.raises(FormatError):
            LogKeys(three, earlier)


def test_keys_begin_with_those_of_before():
    """By that, two places know that they hold one log, one of them from before a hand-over."""
    one, two, three = (generate_key("example.org/log", Algorithm.ED25519).key for _ in range(3))
    first = LogKeys(one)
    second, third = first.followed_by(two, 4), first.followed_by(two, 4).followed_by(three, 9)
    for keys, before in ((first, first), (second, first), (third, first), (third, second)):
        assert keys.begin_with(before)
    for keys, before in (
        (first, second),
        (second, third),
        (second, LogKeys(two)),
        (third, first.followed_by(two, 5)),
        (third, first.followed_by(three, 4)),
    ):
        assert not keys.begin_with(before)


def test_a_witness_of_others_is_told_the_next_key(folder):
    """It takes both until the new one signs alone, and then the old one no more."""
    own = OwnWitness.make("auditor.example/witness")
    with cf.open(folder) as ledger:
        own.know(ledger.key)
        old_signer = load_key(ledger.places.keys / "log.pem")
        assert own.add_checkpoint(0, (), ledger.checkpoint)
        own.know_next(prepare_next_key(ledger.places).key)
        size = ledger.size
        assert own.add_checkpoint(size, (), ledger.checkpoint), "the old key counts still"
        rotate_key(ledger)
        assert own.add_checkpoint(size, ledger.consistency(size), ledger.checkpoint)
        assert own.known() == (ledger.key,)
        stolen = sign_checkpoint(Checkpoint(ledger.origin, ledger.size, ledger.root), old_signer)
        with pytest.raises(UnavailableError, match="403"):
            own.add_checkpoint(ledger.size, (), stolen)
    with pytest.raises(FormatError, match="does not know"):
        own.know_next(generate_key("stranger.example/log", Algorithm.ED25519).key)


def test_a_log_that_others_witness_is_not_rotated_by_surprise(folder):
    """They would refuse the new key, and the log could publish nothing more."""
    key = generate_key("auditor.example/witness", Algorithm.COSIGNATURE_ED25519).key
    with cf.open(folder) as ledger:
        policy = ledger.policy.show()
        auditor = Witness("auditor", key, "Auditor LLP", url="http://127.0.0.1:9")
        draft = policy.followed_by(witnesses=(*policy.witnesses, auditor), quorum=1)
        with pytest.warns(UserWarning, match="auditor"):
            ledger.policy.adopt(draft)
    with cf.open(folder) as ledger, pytest.raises(RefusedError):
        rotate_key(ledger)
    assert read_identity(folder).earlier == ()
    with cf.open(folder) as ledger:
        prepare_next_key(ledger.places)
        with pytest.warns(UserWarning, match="auditor"):
            rotate_key(ledger)
        assert len(ledger.keys.earlier) == 1
