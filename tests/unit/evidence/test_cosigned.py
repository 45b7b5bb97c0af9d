"""What a verdict says of witnesses and of what lies beside the log: no more than is shown."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.cosignature import cosign
from counterfoil.core.keys import Algorithm
from counterfoil.core.note import Note, format_note, parse_note
from counterfoil.core.quorum import Witness
from counterfoil.core.receipt import format_receipt
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import generate_key

NAMES = ("ada", "bob")


@pytest.fixture
def ledger(tmp_path):
    with cf.init(tmp_path / "ledger", organisation="Example Bank") as ledger:
        ledger.append_many([b"%d" % number for number in range(5)])
        yield ledger


@pytest.fixture
def signers():
    return [generate_key(name, Algorithm.COSIGNATURE_ED25519) for name in NAMES]


@pytest.fixture
def quantum():
    return generate_key("ada", Algorithm.COSIGNATURE_ML_DSA_44)


@pytest.fixture
def policy(ledger, signers):
    """The trust policy of somebody who believes two witnesses that others run."""
    outside = [Witness(one.key.name, one.key, f"{one.key.name} Ltd") for one in signers]
    policy = ledger.policy.show()
    return replace(policy, witnesses=(*policy.witnesses, *outside))


def cosigned(note, *signers):
    parsed = parse_note(note)
    lines = (cosign(parsed.text, 1_800_000_000, one) for one in signers)
    return format_note(Note(parsed.text, (*parsed.signatures, *lines)))


@pytest.fixture
def backup(ledger, tmp_path, monkeypatch):
    """Puts a copy of the log aside, cosigned by some; the log goes on, and others read the copy."""

    def backup(*by):
        export_site(ledger, tmp_path / "backup")
        note = cosigned(ledger.checkpoint, *by)
        (tmp_path / "backup" / "checkpoint").write_bytes(note)
        ledger.append(b"after")
        monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "elsewhere"))
        return tmp_path / "backup"

    return backup


def test_a_witness_is_named_with_what_it_had_seen(backup, policy, signers, ledger):
    """An old copy is cosigned for ever: that it is the newest, or the only one, is not claimed."""
    size = ledger.size
    verdict = cf.verify(backup(signers[0]), trust=policy)
    assert verdict.grades == ("witnessed",)
    said = f"The log of {size} entries is cosigned by ada (ada Ltd): it had seen no other history."
    assert said in verdict.proved
    assert "ada (ada Ltd), that it cosigned no other history of the log." in verdict.trust
    assert "Whoever gave you the trust policy, for the log's key." in verdict.trust
    assert f"others may have seen more than {size} entries" in str(verdict.not_checked)
    assert "Whether others were shown another log" in str(verdict.not_checked)
    assert "everybody" not in str(verdict)
    assert not any("Example Bank" in one for one in verdict.trust)


def test_two_witnesses_are_two(backup, policy, signers):
    """Several are all named."""
    verdict = cf.verify(backup(*signers), trust=policy)
    assert "ada (ada Ltd), bob (bob Ltd): each of them had seen" in str(verdict.proved)


def test_receipts_say_the_same(ledger, policy, signers):
    """The checkpoint in a receipt is graded like that of a ledger."""
    receipt = ledger.receipt(3)
    signed = replace(receipt, checkpoint=cosigned(receipt.checkpoint, signers[0]))
    verdict = cf.verify(format_receipt(signed), entry=ledger.entry(3), trust=policy)
    assert verdict.grade == "witnessed"
    assert "cosigned by ada (ada Ltd)" in str(verdict.proved)
    assert f"What came after the {ledger.size} entries of its checkpoint." in verdict.not_checked


def test_letters_say_the_same(ledger, policy, signers):
    """A letter names who cosigned, too."""
    made = ledger.models.add(lambda rows: ["no" for _ in rows], name="credit").decide([[1]])[0]
    evidence = made.evidence()
    statements = []
    for one in evidence.body["statements"]:
        head, mark, note = one["receipt"].partition("\n\n")
        statements.append(
            {**one, "receipt": head + mark + cosigned(note.encode(), signers[0]).decode()}
        )
    letter = replace(evidence, body={**evidence.body, "statements": statements})
    verdict = cf.verify(letter, trust=policy)
    assert verdict.grade == "witnessed"
    assert "cosigned by ada (ada Ltd)" in str(verdict.proved)
    assert "ada (ada Ltd), that it cosigned no other history of the log." in verdict.trust


@pytest.mark.parametrize("missing", ["ML-DSA-44", "Ed25519"])
def test_a_witness_with_half_its_signatures_is_told(missing, backup, policy, signers, quantum):
    """It does not count, and is not said to have signed nothing."""
    own, ada, bob = policy.witnesses
    policy = replace(policy, witnesses=(own, replace(ada, post_quantum=quantum.key), bob))
    folder = backup(signers[0] if missing == "ML-DSA-44" else quantum)
    verdict = cf.verify(folder, trust=policy)
    assert verdict.grade == "self-witnessed"
    lacking = f"Witness ada: its cosignature by {missing} is missing, and it counts only with both."
    assert lacking in verdict.not_checked
    assert not any("has signed" in one for one in verdict.trust)
    with pytest.raises(cf.PolicyError, match=f"ada counts only with a cosignature by {missing}"):
        cf.verify(folder, trust=replace(policy, quorum=2))


def test_a_ledgers_verdict_names_what_nothing_vouches_for(ledger, policy):
    """What lies beside the log, and beyond it, is not checked, and a verdict says so."""
    ledger.models.add(lambda rows: ["no" for _ in rows], name="credit").decide([[1]])
    shutil.rmtree(ledger.folder / "private")
    with (ledger.folder / "log" / "entries").open("ab") as file:
        file.write(b"no entry of this log")
    not_checked = str(cf.verify(ledger.folder, trust=policy).not_checked)
    assert "The folder `private`, the journal and the copies of the log's head." in not_checked
    assert "beyond the last entry: it is no part of the log." in not_checked


def test_a_copys_verdict_names_nothing_that_it_has_not(backup, policy):
    """A site has no journal."""
    assert "journal" not in str(cf.verify(backup(), trust=policy))
