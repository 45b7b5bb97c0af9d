from __future__ import annotations

import json

import pytest

from counterfoil.core.canonical import format_json
from counterfoil.core.statement import (
    MAX_STATEMENT_BYTES,
    Statement,
    Subject,
    check_form,
    format_statement,
    parse_statement,
    predicate_name,
    predicate_type,
)
from counterfoil.errors import FormatError

DIGEST = {"sha256": "ab" * 32}
STATEMENT = Statement(
    (Subject("credit", DIGEST), Subject("credit.json", {"sha256": "cd" * 32, "sha512": "ef"})),
    predicate_type("approval"),
    {"stage": "production", "after": None, "n": [1, True, {"auc": "0.79"}]},
)
DATA = format_statement(STATEMENT)


def test_a_statement_reads_back_as_it_was_written():
    """Subjects, type and predicate survive, in one spelling."""
    assert parse_statement(DATA) == STATEMENT
    assert format_statement(parse_statement(DATA)) == DATA


def test_a_statement_may_have_one_subject_or_many():
    """Most are about one thing."""
    for count in (1, 256):
        subjects = tuple(Subject(f"part {i}", DIGEST) for i in range(count))
        statement = Statement(subjects, "urn:x", {})
        assert parse_statement(format_statement(statement)) == statement


def test_a_statement_is_in_toto():
    """Any in-toto tool reads it: version 1, with subject, predicateType and predicate."""
    value = json.loads(DATA)
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["subject"][0] == {"name": "credit", "digest": DIGEST}
    assert value["predicateType"] == "urn:counterfoil:predicate:approval:v1"


@pytest.mark.parametrize("number", [0.5, -1.25, 1e21, 1e-7])
@pytest.mark.parametrize("nest", [lambda x: x, lambda x: [x], lambda x: {"a": [{"b": x}]}])
def test_a_statement_holds_no_fractions(number, nest):
    """Decimals are strings, so that nobody rounds them; reading refuses what writing refuses."""
    statement = Statement(STATEMENT.subjects, "urn:x", {"n": nest(number)})
    with pytest.raises(FormatError, match="holds the number") as caught:
        format_statement(statement)
    assert "as strings" in caught.value.hint
    data = DATA.replace(b'"n":[1', b'"m":%b,"n":[1' % format_json(nest(number)))
    with pytest.raises(FormatError, match="holds the number"):
        parse_statement(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s | {"more": 1},
        lambda s: {k: v for k, v in s.items() if k != "predicate"},
        lambda s: s | {"_type": "https://in-toto.io/Statement/v0.1"},
        lambda s: s | {"predicate": []},
        lambda s: s | {"predicateType": "approval"},
        lambda s: s | {"subject": []},
        lambda s: s | {"subject": s["subject"][0]},
        lambda s: s | {"subject": [s["subject"][0]] * 2},
        lambda s: s | {"subject": [{"name": "a"}]},
        lambda s: s | {"subject": [{"name": "a", "digest": {}}]},
        lambda s: s | {"subject": [{"name": "", "digest": DIGEST}]},
        lambda s: s | {"subject": [{"name": "a", "digest": DIGEST, "uri": "x:y"}]},
        lambda s: s | {"subject": [{"name": "a", "digest": {"sha256": "AB" * 32}}]},
        lambda s: s | {"subject": [{"name": "a", "digest": {"sha256": "ab" * 31}}]},
        lambda s: s | {"subject": [{"name": "a", "digest": {"sha512": ""}}]},
        lambda s: s | {"subject": [{"name": "a", "digest": {"sha256": 7}}]},
        lambda s: s | {"subject": [{"name": "a", "digest": DIGEST | {"sha512": 7}}]},
        lambda s: s | {"subject": [{"name": f"{i}", "digest": DIGEST} for i in range(257)]},
        lambda s: s["subject"],
    ],
)
def test_other_json_is_no_statement(change):
    """Members are exactly those of a statement, and every subject is identified."""
    with pytest.raises(FormatError):
        parse_statement(format_json(change(json.loads(DATA))))


def test_a_statement_fits_into_the_log():
    """One too long is refused when it is made, not when it is appended; so is a deep one."""
    spare = MAX_STATEMENT_BYTES - len(DATA) - len(',"comment":""')
    filler = "x" * (spare + 1)
    body = STATEMENT.predicate | {"comment": filler[1:]}
    longest = format_statement(Statement(STATEMENT.subjects, STATEMENT.predicate_type, body))
    assert len(longest) == MAX_STATEMENT_BYTES
    parse_statement(longest)
    deep: list = []
    for _ in range(100):
        deep = [deep]
    for body in ({"comment": filler}, {"comment": deep}):
        with pytest.raises(FormatError):
            format_statement(
                Statement(STATEMENT.subjects, STATEMENT.predicate_type, STATEMENT.predicate | body)
            )
    with pytest.raises(FormatError):
        parse_statement(b" " * (MAX_STATEMENT_BYTES + 1))


def test_predicates_have_short_names():
    """Name and type are two spellings of one thing."""
    assert predicate_type("approval") == "urn:counterfoil:predicate:approval:v1"
    assert predicate_name("urn:counterfoil:predicate:witness-report:v1") == "witness-report"


@pytest.mark.parametrize("name", ["", "Approval", "a:b", "a b", "1a", "-a", "a\n", "é"])
def test_names_of_predicates_are_plain(name):
    """Nothing that could be mistaken for another name, or break the URI."""
    with pytest.raises(FormatError):
        predicate_type(name)


@pytest.mark.parametrize(
    "uri",
    [
        "https://slsa.dev/provenance/v1",
        "urn:counterfoil:predicate:approval:v2",
        "urn:counterfoil:predicate:approval:v1\n",
        "urn:counterfoil:predicate::v1",
        "",
    ],
)
def test_foreign_predicates_have_no_short_name(uri):
    """A statement of somebody else's type is never taken for one of ours."""
    with pytest.raises(FormatError):
        predicate_name(uri)


def test_a_value_read_out_of_a_statement_leaves_nothing_behind():
    """A payload that says more than the value read from it is refused."""
    check_form(STATEMENT, DATA, "approval")
    with pytest.raises(FormatError, match="approval"):
        check_form(STATEMENT, DATA.replace(b'"n":[1', b'"m":0,"n":[1'), "approval")
