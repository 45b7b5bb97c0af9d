from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.envelope import sign_envelope
from counterfoil.core.policy import Predecessor, Succession
from counterfoil.core.principals import Compromise
from counterfoil.core.statement import Statement, format_statement
from counterfoil.core.succession import (
    check_successor,
    follow,
    policy_history,
    policy_in_force,
    policy_of,
    policy_statement,
)
from counterfoil.errors import FormatError, PolicyError, SignatureError


def next_policy(old, **changes):
    changes = {"version": old.version + 1, "previous": old.digest.hex(), **changes}
    return replace(old, **changes)


def signed(bank, policy, names):
    payload = format_statement(policy_statement(policy))
    return sign_envelope(payload, *(bank.key(name) for name in names.split()))


def test_a_policy_survives_its_statement(bank):
    """The log carries the whole policy, and nothing beside it."""
    statement = policy_statement(bank.policy())
    assert policy_of(statement) == bank.policy()
    with pytest.raises(FormatError):
        policy_of(replace(statement, predicate={**statement.predicate, "note": "x"}))
    with pytest.raises(FormatError):
        policy_of(Statement(statement.subjects, statement.predicate_type, {}))


def test_a_successor_needs_both_thresholds(bank):
    """Two of risk's three replace the policy; one, or others, do not."""
    old = bank.policy()
    new = next_policy(old, quorum=2)
    check_successor(old, new, signed(bank, new, "risk-a risk-b"), 5)
    with pytest.raises(PolicyError, match="old policy") as caught:
        check_successor(old, new, signed(bank, new, "risk-a validation"), 5)
    assert (caught.value.have, caught.value.need) == ("risk-a", "2 of risk-a, risk-b, risk-c")
    with pytest.raises(SignatureError):
        check_successor(old, new, signed(bank, new, "stranger"), 5)


def test_the_new_policys_own_people_must_sign_too(bank):
    """Nobody is put in charge without their own signatures."""
    old = bank.policy()
    new = next_policy(old, succession=Succession(1, ("validation",)))
    with pytest.raises(PolicyError, match="new policy"):
        check_successor(old, new, signed(bank, new, "risk-a risk-b"), 5)
    check_successor(old, new, signed(bank, new, "risk-a risk-b validation"), 5)


@pytest.mark.parametrize(
    "changes",
    [{"version": 3}, {"version": 1, "previous": ""}, {"previous": "00" * 32}],
)
def test_a_successor_follows_exactly(bank, changes):
    """A skipped version, a return to the old one or another predecessor is refused."""
    old = bank.policy()
    new = next_policy(old, **changes)
    with pytest.raises(PolicyError, match=r"version|previous"):
        check_successor(old, new, signed(bank, new, "risk-a risk-b"), 5)


def test_a_successor_stays_with_its_log(bank):
    """Indexes mean positions in one log, so the log's origin cannot change under them."""
    old = bank.policy()
    key = bank.key("other.example/log").key
    new = next_policy(old, log=replace(old.log, origin=key.name, key=key))
    with pytest.raises(PolicyError, match="log origin"):
        check_successor(old, new, signed(bank, new, "risk-a risk-b"), 5)


def test_without_a_section_nobody_replaces_the_policy(bank):
    """A policy that names nobody cannot be replaced, nor can one like it follow."""
    closed = replace(bank.policy(), succession=None)
    new = next_policy(closed, succession=bank.policy().succession)
    with pytest.raises(PolicyError, match="old policy lets nobody"):
        check_successor(closed, new, signed(bank, new, "risk-a risk-b"), 5)
    new = next_policy(bank.policy(), succession=None)
    with pytest.raises(PolicyError, match="new policy lets nobody"):
        check_successor(bank.policy(), new, signed(bank, new, "risk-a risk-b"), 5)


def test_a_stolen_key_does_not_replace_the_policy(bank):
    """Keys void at the successor's index do not count toward the threshold."""
    old = bank.policy()
    stolen = Compromise(bank.key("risk-a").key.label, 5)
    old = replace(
        old,
        principals=tuple(
            replace(one, compromised=(stolen,)) if one.name == "risk-a" else one
            for one in old.principals
        ),
    )
    new = next_policy(old)
    envelope = signed(bank, new, "risk-a risk-b")
    check_successor(old, new, envelope, 4)
    with pytest.raises(PolicyError):
        check_successor(old, new, envelope, 5)


def test_the_envelope_holds_this_policy(bank):
    """Signatures on one policy do not carry another."""
    old = bank.policy()
    new, other = next_policy(old), next_policy(old, quorum=0)
    with pytest.raises(FormatError):
        check_successor(old, new, signed(bank, other, "risk-a risk-b"), 5)


def test_the_first_valid_successor_wins(bank):
    """A policy is in force for what comes after it; a second successor of the same one is void."""
    root = bank.policy()
    second = next_policy(root, quorum=2)
    rival = next_policy(root, quorum=0)
    third = next_policy(second, quorum=0)
    log = [
        (3, signed(bank, rival, "risk-a")),
        (4, sign_envelope(b"junk", bank.key("risk-a"))),
        (5, signed(bank, second, "risk-a risk-b")),
        (6, signed(bank, rival, "risk-a risk-b risk-c")),
        (9, signed(bank, third, "risk-b risk-c")),
    ]
    assert [policy_in_force(root, log, index) for index in (0, 5, 6, 9, 10)] == [
        root,
        root,
        second,
        second,
        third,
    ]
    assert policy_in_force(root, reversed(log), 99) == third


def test_history_reaches_back_by_digest_and_forward_by_signatures(bank):
    """From whichever policy a verifier brings, each moment has the policy that was in force."""
    first = bank.policy()
    second = follow(first, next_policy(first, quorum=2), 10)
    third = follow(second, next_policy(second, quorum=0), 20)
    forged = next_policy(third, quorum=1)
    stated = [
        (0, signed(bank, first, "risk-a")),
        (10, signed(bank, second, "risk-a risk-b")),
        (20, signed(bank, third, "risk-b risk-c")),
        (30, signed(bank, forged, "validation")),
    ]
    for trusted in (first, second, third):
        history = policy_history(trusted, stated)
        assert [history.at(index) for index in (5, 10, 11, 20, 21, 99)] == [
            first,
            first,
            second,
            second,
            third,
            third,
        ]
    # A policy that the log does not know judges what it was brought for, and nothing follows it.
    stranger = replace(first, name="another bank")
    assert policy_history(stranger, stated).at(15) == stranger


def test_a_predecessor_reaches_as_far_as_the_trusted_policy_says(bank):
    """Statements left out or said again later move no boundary, and a missing policy is missed."""
    first = bank.policy()
    second = follow(first, next_policy(first, quorum=2), 10)
    third = follow(second, next_policy(second, quorum=0), 20)
    for stated in ([], [(50, signed(bank, third, "risk-a risk-b"))]):
        history = policy_history(third, stated)
        assert history.at(21) == third
        for index in (0, 10, 11, 20):
            with pytest.raises(PolicyError, match="not at hand"):
                history.at(index)
    # One suffices for what it judges, wherever its statement stands.
    history = policy_history(third, [(40, signed(bank, first, "stranger"))])
    assert history.at(10) == first
    with pytest.raises(PolicyError, match="not at hand"):
        history.at(11)


@pytest.mark.parametrize(
    ("predecessors", "match"),
    [
        (lambda old: (Predecessor(old.digest.hex(), 7),), "judge up to entry 7"),
        (lambda _: (Predecessor("00" * 32, 6),), "last predecessor"),
    ],
)
def test_a_successor_claims_no_other_past(bank, predecessors, match):
    """Who signs a policy cannot say that another one judged the past, or for longer."""
    old = bank.policy()
    new = next_policy(old, predecessors=predecessors(old))
    with pytest.raises(PolicyError, match=match):
        check_successor(old, new, signed(bank, new, "risk-a risk-b"), 5)
    # Version 3 must take over what version 2 says of version 1.
    second = follow(old, next_policy(old), 5)
    for changed in ((Predecessor("00" * 32, 6),), (Predecessor(old.digest.hex(), 1),)):
        third = next_policy(second, predecessors=(*changed, Predecessor(second.digest.hex(), 9)))
        with pytest.raises(PolicyError, match="older predecessors"):
            check_successor(second, third, signed(bank, third, "risk-a risk-b"), 9)


def test_a_draft_takes_over_predecessors_or_names_none(bank):
    """A draft that names other predecessors than the policy it follows is refused."""
    first = bank.policy()
    second = follow(first, next_policy(first), 5)
    assert follow(second, next_policy(second), 9) == follow(
        second, next_policy(second, predecessors=()), 9
    )
    with pytest.raises(FormatError, match="other predecessors"):
        follow(second, next_policy(second, predecessors=(Predecessor("00" * 32, 1),)), 9)


@pytest.mark.parametrize(
    "predecessors",
    [
        [("00" * 32, 1), ("00" * 32, 2)],
        [("00" * 32, 2), ("11" * 32, 1)],
        [("00" * 32, 2), ("11" * 32, 2)],
        [("00" * 32, 1), ("11" * 32, 2), ("22" * 32, 3)],
        [("00", 1)],
    ],
)
def test_predecessors_are_in_order(bank, predecessors):
    """A policy before this one stands there once, ends after the one before, and has a version."""
    with pytest.raises(FormatError):
        replace(
            bank.policy(),
            version=3,
            previous="00" * 32,
            predecessors=tuple(Predecessor(*one) for one in predecessors),
        )
