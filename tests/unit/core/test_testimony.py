from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.envelope import check_envelope, format_envelope, sign_envelope
from counterfoil.core.keys import Algorithm
from counterfoil.core.principals import Compromise
from counterfoil.core.statement import Statement, format_statement, parse_statement
from counterfoil.core.testimony import (
    check_attestation,
    find_permitted,
    find_signers,
    hear,
    is_confirmation,
    with_compromises,
)
from counterfoil.errors import FormatError, PolicyError, SignatureError


def attest(policy, envelope, index=0):
    return check_attestation(policy, envelope, parse_statement(envelope.payload), index)


def with_compromised(policy, name, key, from_index):
    return replace(
        policy,
        principals=tuple(
            replace(one, compromised=(Compromise(key.label, from_index),))
            if one.name == name
            else one
            for one in policy.principals
        ),
    )


def test_who_may_say_it_and_signed_it_is_returned(bank):
    """An attestation counts for each principal that signed and may say it, and for no other."""
    envelope = bank.says("risk-b validation risk-a", "approval", {})
    assert attest(bank.policy(), envelope) == ("risk-a", "risk-b")


def test_who_may_not_say_it_is_refused(bank):
    """A valid signature by somebody without the right is not enough, and the error says why."""
    with pytest.raises(PolicyError, match="validation has signed and may not say this") as caught:
        attest(bank.policy(), bank.says("validation", "approval", {}))
    assert "'approval' about 'credit'" in caught.value.need


def test_the_right_is_for_subjects(bank):
    """A principal for marketing models approves no credit model, not even among marketing ones."""
    policy = bank.policy()
    attest(policy, bank.says("marketing", "approval", {}, bank.model("marketing-1")))
    with pytest.raises(PolicyError):
        attest(policy, bank.says("marketing", "approval", {}))
    both = replace(
        bank.statement("approval", {}), subjects=(bank.model("marketing-1"), bank.model("credit"))
    )
    with pytest.raises(PolicyError):
        attest(policy, sign_envelope(format_statement(both), bank.key("marketing")))


def test_strangers_and_forgers_are_refused(bank):
    """A key of nobody, or a false signature, proves nothing."""
    with pytest.raises(SignatureError):
        attest(bank.policy(), bank.says("bank.example/log", "approval", {}))
    envelope = bank.says("risk-a", "approval", {})
    forged = replace(envelope, payload=envelope.payload.replace(b"credit", b"tiderc"))
    with pytest.raises(SignatureError):
        attest(bank.policy(), forged)


def test_a_statement_is_judged_in_its_own_envelope(bank):
    """A good statement cannot borrow the signatures of another."""
    envelope = bank.says("risk-a", "approval", {})
    other = bank.statement("approval", {"note": "x"})
    with pytest.raises(FormatError, match="not what the envelope holds"):
        check_attestation(bank.policy(), envelope, other, 0)
    other_type = sign_envelope(envelope.payload, bank.key("risk-a"), payload_type="text/plain")
    with pytest.raises(FormatError, match="text/plain"):
        hear(bank.policy(), other_type, 0)


def test_a_dropped_algorithm_is_no_signature(bank):
    """A principal with two required algorithms has spoken only when both signed."""
    ml_dsa = bank.key("risk-b-pq", Algorithm.COSIGNATURE_ML_DSA_44)
    policy = replace(
        bank.policy(),
        principals=tuple(
            replace(one, keys=(*one.keys, ml_dsa.key), algorithms=())
            if one.name == "risk-b"
            else one
            for one in bank.policy().principals
        ),
    )
    assert attest(policy, bank.says("risk-b risk-b-pq", "approval", {})) == ("risk-b",)
    with pytest.raises(PolicyError, match="risk-b has not signed with ml-dsa-44"):
        attest(policy, bank.says("risk-b", "approval", {}))
    with pytest.raises(PolicyError, match="risk-b has not signed with ed25519"):
        attest(policy, bank.says("risk-b-pq", "approval", {}))


def test_a_stolen_key_is_void_from_its_index_on(bank):
    """Signatures before the theft stand, those from the named index on prove nothing."""
    policy = with_compromised(bank.policy(), "risk-a", bank.key("risk-a").key, 10)
    envelope = bank.says("risk-a", "approval", {})
    assert attest(policy, envelope, 9) == ("risk-a",)
    with pytest.raises(PolicyError, match="is void there, it was compromised"):
        attest(policy, envelope, 10)


def test_a_new_key_takes_over_from_a_stolen_one(bank):
    """A principal keeps its old key for what it said before, and speaks with the new one."""
    new = bank.key("risk-a-2")
    policy = with_compromised(bank.policy(), "risk-a", bank.key("risk-a").key, 10)
    policy = replace(
        policy,
        principals=tuple(
            replace(one, keys=(*one.keys, new.key)) if one.name == "risk-a" else one
            for one in policy.principals
        ),
    )
    assert attest(policy, bank.says("risk-a-2", "approval", {}), 11) == ("risk-a",)


def test_a_later_policy_knows_of_earlier_thefts(bank):
    """What the thief put into the log before the theft was known is void all the same."""
    then = bank.policy()
    now = with_compromised(then, "risk-a", bank.key("risk-a").key, 10)
    envelope = bank.says("risk-a", "approval", {})
    assert attest(then, envelope, 11) == ("risk-a",)
    knowing = with_compromises(then, now)
    assert attest(knowing, envelope, 9) == ("risk-a",)
    with pytest.raises(PolicyError):
        attest(knowing, envelope, 11)
    later = with_compromised(then, "risk-a", bank.key("risk-a").key, 20)
    assert with_compromises(now, later).principals == now.principals


def test_signers_are_principals_not_keys(bank):
    """Two keys of one principal are one voice."""
    second = bank.key("risk-a-2")
    policy = replace(
        bank.policy(),
        principals=tuple(
            replace(one, keys=(*one.keys, second.key)) if one.name == "risk-a" else one
            for one in bank.policy().principals
        ),
    )
    keys = check_envelope(bank.says("risk-a risk-a-2", "approval", {}), policy.keys)
    assert len(keys) == 2
    assert find_signers(policy, keys, 0) == ("risk-a",)


def test_about_nothing_nobody_may_say_anything(bank):
    """Rights over an empty list of subjects are no rights."""
    assert find_permitted(bank.policy(), ["data-office"], "dataset", []) == ()
    assert find_permitted(bank.policy(), ["data-office"], "dataset", ["x"]) == ("data-office",)


def test_a_foreign_predicate_is_permitted_by_its_whole_type(bank):
    """Predicates of others are named by their URI; a short name never stands for them."""
    uri = "https://slsa.dev/provenance/v1"
    payload = format_statement(Statement((bank.model(),), uri, {}))
    envelope = sign_envelope(payload, bank.key("ci"))
    ci = bank.principal("ci", "approval *")
    policy = replace(bank.policy(), principals=(*bank.policy().principals, ci))
    with pytest.raises(PolicyError):
        attest(policy, envelope)
    ci = bank.principal("ci", f"{uri} *")
    policy = replace(bank.policy(), principals=(*bank.policy().principals, ci))
    assert attest(policy, envelope) == ("ci",)


def test_hearing_keeps_what_does_not_count_and_says_why(bank):
    """A statement without a voice is heard as such, so that a gate can name it."""
    heard = hear(bank.policy(), bank.says("validation", "approval", {}), 3)
    assert (heard.index, heard.signers, heard.principals) == (3, ("validation",), ())
    assert "may not say this" in heard.objection
    assert (
        "no trusted key" in hear(bank.policy(), bank.says("stranger", "approval", {}), 3).objection
    )
    with pytest.raises(FormatError):
        hear(bank.policy(), sign_envelope(b"{}", bank.key("risk-a")), 3)


def test_what_only_confirms_the_log_is_told_from_news(bank):
    """Anchors and time-stamps are no reason to confirm it again; everything else is."""
    for name, expected in (("anchor", True), ("timestamp", True), ("approval", False)):
        entry = format_envelope(bank.says("risk-a", name, {}))
        assert is_confirmation(entry) == expected
    assert not is_confirmation(b"an entry of somebody else")
