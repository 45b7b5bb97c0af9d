"""A witness that is shown a fork keeps it, tells its operator, and cosigns nothing of it."""

from __future__ import annotations

import logging

import pytest

from counterfoil.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import leaf_hash, prefix_root, prove_consistency, root_of
from counterfoil.errors import ProofError
from counterfoil.ledger import suspects
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.ledger.localwitness import format_add_checkpoint
from counterfoil.ledger.witness import Witness

ORIGIN = "example.org/log"
LOG = generate_key(ORIGIN, Algorithm.ED25519)
FORK_AT = 5  # entries that both histories have


class History:
    """A history of the log, as long as anybody asks for."""

    def __init__(self, name):
        self.leaves = [leaf_hash(b"%d" % number) for number in range(FORK_AT)]
        self.leaves += [leaf_hash(b"%s %d" % (name, number)) for number in range(FORK_AT, 64)]

    def node(self, level, index):
        return root_of(self.leaves[index << level : (index + 1) << level])

    def root(self, size):
        return root_of(self.leaves[:size])

    def note(self, size):
        return sign_checkpoint(Checkpoint(ORIGIN, size, self.root(size)), LOG)

    def request(self, old, size, *, proof=None):
        """What the log asks for when it believes that the witness remembers `old`."""
        if proof is None:
            proof = prove_consistency(old, size, self.node) if old else ()
        return format_add_checkpoint(old, proof, self.note(size))


ONE, OTHER = History(b"one"), History(b"other")


@pytest.fixture
def witness(tmp_path):
    signer = generate_key("ada", Algorithm.COSIGNATURE_ED25519)
    witness = Witness(tmp_path, signer, clock=lambda: 1.8e9)
    witness.know(LOG.key)
    return witness


def cosigned(witness, *sizes):
    for old, size in zip((0, *sizes), sizes, strict=False):
        assert witness.add_checkpoint(ONE.request(old, size))[0] == 200


@pytest.mark.parametrize(("old", "status"), [(10, 422), (9, 409), (0, 409)])
def test_two_roots_at_one_size_are_proof(witness, caplog, old, status):
    """Whatever the request says that is remembered, both signed checkpoints are kept, and told."""
    cosigned(witness, 10)
    assert witness.refused(ORIGIN) == ()
    assert witness.add_checkpoint(OTHER.request(old, 10))[0] == status
    (kept,) = witness.refused(ORIGIN)
    assert kept.is_proof
    assert open_checkpoint(kept.path.read_bytes(), LOG.key).root == OTHER.root(10)
    ours = kept.path.with_suffix(".cosigned").read_bytes()
    assert open_checkpoint(ours, LOG.key).root == ONE.root(10)
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert "signed two histories" in told.getMessage()
    assert str(kept.path) in told.getMessage()
    # Again it is nothing new; and the history that was cosigned is cosigned on.
    assert witness.add_checkpoint(OTHER.request(old, 10))[0] == status
    assert witness.add_checkpoint(ONE.request(10, 11))[0] == 200
    assert len(caplog.records) == 1
    assert witness.refused(ORIGIN) == (kept,)


def test_a_fork_at_another_size_is_proven_by_its_own_proof(witness):
    """The hashes with which the log proves that it grew show that it began otherwise."""
    cosigned(witness, 10)
    assert witness.add_checkpoint(OTHER.request(10, 13))[0] == 422
    (kept,) = witness.refused(ORIGIN)
    assert kept.is_proof
    assert (kept.checkpoint.size, kept.cosigned.size) == (13, 10)
    assert kept.path.with_suffix(".proof").exists()


@pytest.mark.parametrize("proof", [(), (leaf_hash(b"x"),) * 5])
def test_a_false_proof_for_a_true_checkpoint_proves_nothing(witness, caplog, proof):
    """Anybody can send that; it is kept as suspicious, and cleared when the log proves it."""
    cosigned(witness, 10)
    assert witness.add_checkpoint(ONE.request(10, 13, proof=proof))[0] == 422
    (kept,) = witness.refused(ORIGIN)
    assert not kept.is_proof
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert "may be a fork" in caplog.text
    assert witness.add_checkpoint(ONE.request(10, 13))[0] == 200
    assert witness.refused(ORIGIN) == ()


def test_a_suspect_becomes_proof_when_its_size_is_cosigned(witness):
    """From 8 entries a fork proves nothing; the checkpoint that is cosigned later convicts it."""
    cosigned(witness, 8)
    assert witness.add_checkpoint(OTHER.request(8, 13))[0] == 422
    assert [one.is_proof for one in witness.refused(ORIGIN)] == [False]
    assert witness.add_checkpoint(ONE.request(8, 13))[0] == 200
    assert witness.add_checkpoint(ONE.request(13, 20))[0] == 200
    (kept,) = witness.refused(ORIGIN)
    assert kept.is_proof
    assert kept.checkpoint.size == kept.cosigned.size == 13


def test_what_is_kept_is_bounded_and_proof_stays(witness, monkeypatch):
    """Suspects displace the oldest of their kind, and no proof."""
    monkeypatch.setattr(suspects, "MAX_SUSPECTS", 3)
    cosigned(witness, 10)
    witness.add_checkpoint(OTHER.request(10, 10))
    for size in range(11, 20):
        witness.add_checkpoint(ONE.request(10, size, proof=()))
    kept = witness.refused(ORIGIN)
    assert sorted((one.is_proof, one.checkpoint.size) for one in kept) == [
        (False, 18),
        (False, 19),
        (True, 10),
    ]
    for size in (13, 14, 15):
        witness.add_checkpoint(OTHER.request(10, size))
    assert [one.is_proof for one in witness.refused(ORIGIN)] == [True] * 3


def test_what_the_log_did_not_sign_is_not_kept(witness):
    """A stranger's checkpoint, and strangers' lines under the log's own, leave no trace."""
    cosigned(witness, 10)
    stranger = generate_key(ORIGIN, Algorithm.ED25519)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 10, OTHER.root(10)), stranger)
    assert witness.add_checkpoint(format_add_checkpoint(10, (), forged))[0] == 403
    assert witness.refused(ORIGIN) == ()
    line = forged.split(b"\n\n")[1]
    assert witness.add_checkpoint(OTHER.request(10, 10) + line)[0] == 422
    (kept,) = witness.refused(ORIGIN)
    assert kept.path.read_bytes() == OTHER.note(10)


def test_damaged_evidence_stands_in_nobodys_way(witness, caplog):
    """The witness cosigns on and refuses on, and its log says what is wrong."""
    cosigned(witness, 10)
    witness.add_checkpoint(OTHER.request(10, 10))
    (kept,) = witness.refused(ORIGIN)
    kept.path.write_bytes(b"torn")
    assert witness.add_checkpoint(OTHER.request(10, 13))[0] == 422
    assert "cannot be kept" in caplog.text
    assert witness.add_checkpoint(ONE.request(10, 13))[0] == 200


def test_a_prefix_root_is_that_of_the_tree_or_none():
    """A consistency proof shows the older root, except from a power of two, which it lacks."""
    for old in range(1, 12):
        for size in range(old, 14):
            proof = prove_consistency(old, size, ONE.node)
            if old & (old - 1) or old == size:
                assert prefix_root(old, size, ONE.root(size), proof) == ONE.root(old)
            else:
                with pytest.raises(ProofError):
                    prefix_root(old, size, ONE.root(size), proof)
            if old < size:
                with pytest.raises(ProofError):
                    prefix_root(old, size, OTHER.root(40), proof)
