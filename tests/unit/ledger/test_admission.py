"""What is let into a ledger from outside."""

from __future__ import annotations

from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.envelope import format_envelope, sign_envelope
from counterfoil.core.principals import Permission
from counterfoil.core.statement import (
    Statement,
    Subject,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.ledger import Admission
from counterfoil.ledger.disk import Disk


@pytest.fixture
def ledger(tmp_path):
    with cf.init(tmp_path / "ledger") as ledger:
        yield ledger


@pytest.fixture
def envelope(ledger):
    subject = Subject("credit", {"sha256": "ab" * 32})
    return format_envelope(ledger.sign([subject], "approval", {"stage": "production"}))


def test_what_the_policy_lets_somebody_say_is_let_in(ledger, envelope):
    """The entry is the envelope, byte for byte."""
    assert Admission(ledger).admit(envelope).entry == envelope


def test_the_policy_of_this_moment_counts(ledger, envelope):
    """One that was adopted after the admission was made is gone by at once."""
    admission = Admission(ledger)
    admission.admit(envelope)
    policy = ledger.policy.show()
    (operator,) = policy.principals
    less = replace(operator, may=(Permission("policy", "*"), Permission("dataset", "*")))
    ledger.policy.adopt(policy.followed_by(principals=(less,)))
    with pytest.raises(cf.PolicyError, match="may not say this"):
        admission.admit(envelope)


def test_without_a_policy_in_force_nothing_is_let_in(ledger, envelope):
    """None adopted, a damaged one, an expired one: closed."""
    admission = Admission(ledger)
    clock = ledger.clock
    ledger.clock = lambda: clock() + 2 * 366 * 86400
    with pytest.raises(cf.PolicyError, match="expired"):
        admission.admit(envelope)
    ledger.clock = clock
    path = ledger.places.trust
    good = path.read_bytes()
    path.write_bytes(good.replace(b"quorum = 0", b"quorum = 1"))
    with pytest.raises(cf.VerificationError):
        admission.admit(envelope)
    path.unlink()
    with pytest.raises(cf.FormatError, match="no trust policy"):
        admission.admit(envelope)
    path.write_bytes(good)
    assert admission.admit(envelope)


def test_what_is_signed_is_a_statement(ledger, envelope):
    """Anything else a principal signed is not let in, nor what is no envelope."""
    admission = Admission(ledger)
    signer = ledger.principal_key("operator")
    other = sign_envelope(b"hello", signer, payload_type="text/plain")
    for data in (format_envelope(other), b"", b"{}", envelope + b" "):
        with pytest.raises(cf.FormatError):
            admission.admit(data)


def test_a_large_one_is_stored_once_it_is_let_in(ledger):
    """Its entry refers to it; a refused one is not stored."""
    admission = Admission(ledger)
    large = ledger.sign([Subject("x" * 36_000, {"sha256": "ab" * 32})], "approval", {})
    admitted = admission.admit(format_envelope(large))
    assert ledger.resolve(admitted.entry) == format_envelope(large)
    digest = admitted.entry.partition(b'"sha256":"')[2][:64].decode()
    assert ledger.blob(digest) == format_envelope(large)
    with pytest.raises(cf.UnavailableError):
        ledger.blob("0" * 64)
    with pytest.raises(cf.FormatError):
        ledger.blob("../keys")


def test_an_entry_is_found_where_it_first_stands(ledger, envelope):
    """Statements that are published, and nothing else; also after the index was lost."""
    first = ledger.append(envelope).index
    ledger.append(envelope)
    ledger.append(b"no statement")
    other = parse_statement(ledger.envelope(first).in_toto)
    new = format_envelope(
        sign_envelope(
            format_statement(replace(other, predicate={"stage": "test"})),
            ledger.principal_key("operator"),
        )
    )
    assert ledger.positions_of([envelope, new, b"no statement", envelope]) == [
        first,
        None,
        None,
        first,
    ]
    assert ledger.positions_of([]) == []
    ledger.close()
    ledger.places.index.unlink()
    with cf.open(ledger.folder) as again:
        assert again.positions_of([envelope]) == [first]


def test_appending_nothing_finds_out_what_became_of_a_failure(ledger, envelope):
    """An entry that was durable when the disk failed is published by the next call."""

    class Failing(Disk):
        fails = False

        def sync(self, fd):
            super().sync(fd)
            if self.fails:
                raise OSError(5, "done, and reported as not done")

    disk = Failing()
    ledger.close()
    with cf.Ledger(ledger.folder, disk=disk) as log:
        log.require_writer()
        size = log.size
        disk.fails = True
        for entries in ((envelope,), ()):
            with pytest.raises(cf.UnavailableError):
                log.append_many(entries)
        disk.fails = False
        assert log.size == size
        assert len(log.append_many(())) == 0
        assert log.positions_of([envelope]) == [size]


def test_a_search_can_be_given_up(ledger):
    """What two things have in common may take long to find; whoever serves others bounds that."""
    signer = ledger.principal_key("operator")
    for name in ("approval", "dataset"):
        statements = [
            Statement((Subject(f"{name} {n}", {"sha256": "ab" * 32}),), predicate_type(name), {})
            for n in range(1500)
        ]
        ledger.append_many(
            [format_envelope(sign_envelope(format_statement(one), signer)) for one in statements]
        )
    label = signer.key.label
    found = ledger.find(issuer=label, predicate="approval", last=2)
    assert [one.statement.subjects[0].name for one in found] == ["approval 1498", "approval 1499"]
    assert len(ledger.find(issuer=label, predicate="dataset", within_s=30)) == 1500
    with pytest.raises(cf.UnavailableError, match="took longer"):
        ledger.find(issuer=label, predicate="evaluation", within_s=-1)
    assert ledger.find(issuer=label, predicate="evaluation", within_s=30) == []
    digest = "ab" * 32
    assert len(ledger.find(issuer=label, subject=digest, predicate="dataset", last=7)) == 7
    assert len(ledger.find(last=1, within_s=-1)) == 1
