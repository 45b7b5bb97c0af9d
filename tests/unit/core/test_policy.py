from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from counterfoil.core.canonical import format_json
from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.core.policy import (
    format_policy,
    parse_policy,
    policy_from_json,
    policy_to_json,
)
from counterfoil.core.principals import Compromise, Permission, Principal
from counterfoil.core.quorum import LogIdentity
from counterfoil.core.requirements import Mode, Requirement, Stage
from counterfoil.errors import FormatError

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
PAGE = (REFERENCE / "trust-policy.md").read_text("utf-8")
EXAMPLE = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((REFERENCE / "trust-policy.schema.json").read_text("utf-8"))
)


def test_a_policy_survives_its_file(bank):
    """What is written as trust.toml reads back as the same policy."""
    policy = bank.policy()
    assert parse_policy(format_policy(policy)) == policy
    assert parse_policy(format_policy(policy).encode()) == policy


def test_every_part_of_a_policy_survives_its_file(bank):
    """Algorithms, stolen keys, odd metric names and upper bounds are written and read back."""
    ml_dsa = bank.key("ml-dsa", Algorithm.COSIGNATURE_ML_DSA_44).key
    first = bank.policy().principals[0]
    stage = Stage(
        "dry.run",
        Mode.WARN,
        (),
        (Requirement("a", 1, ("validation",), (), (('e"rr.or', "-1.50"), ("b", "2"))),),
    )
    policy = replace(
        bank.policy(),
        version=7,
        previous="ab" * 32,
        principals=(
            replace(
                first,
                keys=(*first.keys, ml_dsa),
                algorithms=(),
                compromised=(Compromise(ml_dsa.label, 12),),
            ),
            *bank.policy().principals[1:],
        ),
        stages=(stage, *bank.policy().stages),
        data=replace(bank.policy().data, consent_when_personal=False),
        succession=None,
    )
    assert parse_policy(format_policy(policy)) == policy
    assert policy.principals[0].algorithms == (1, 6)


def test_comments_and_layout_leave_the_digest_alone(bank):
    """The digest covers what the policy says, not how its file looks."""
    policy = bank.policy()
    text = format_policy(policy)
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert bare != text
    assert parse_policy(bare).digest == policy.digest
    assert replace(policy, quorum=2).digest != policy.digest


def test_the_digest_does_not_change_between_releases():
    """A digest that somebody wrote down stays the digest of that file."""
    assert (
        parse_policy(EXAMPLE).digest.hex()
        == "4f96f720b5cafdb84c50ef3a9d70bb65f7bc0a589db47208d29a43945e7c72cb"
    )


def test_what_a_witness_does_not_have_is_not_in_the_digest(bank):
    """Policies from before witnesses had addresses keep their digests."""
    own, auditor = bank.policy().witnesses
    assert own.to_json().keys() == {"name", "key", "operator"}
    asked = replace(bank.policy(), witnesses=(own, replace(auditor, url="https://auditor.example")))
    assert asked.digest != bank.policy().digest
    assert parse_policy(format_policy(asked)) == asked


def test_a_policy_survives_its_json_form(bank):
    """The canonical JSON form holds the whole policy, and only the full form is accepted."""
    form = policy_to_json(bank.policy())
    assert policy_from_json(form) == bank.policy()
    assert format_json(policy_to_json(policy_from_json(form))) == format_json(form)
    del form["previous"]
    with pytest.raises(FormatError, match="defaults"):
        policy_from_json(form)
    with pytest.raises(FormatError):
        policy_from_json([])


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (
            "organisation =",
            "organization =",
            r"line \d+.*principal 1.*organization",
            "organisation",
        ),
        ("quorum = 1", "quorom = 1", r"line \d+.*witnesses.*quorom", "quorum"),
        ("[log]", "[logs]", r"logs", "log"),
        ("quorum = 1", "quorum = 3", "quorum 3 with 2", ""),
        ("quorum = 1", "quorum = -1", "quorum", ""),
        ("quorum = 1", "quorum = true", "quorum", ""),
        ("version = 1", "version = 2", "version 2", ""),
        ("version = 1", "version = 0", "version 0", ""),
        ("version = 1", 'version = "1"', "version", ""),
        ('"2030-01-01T00:00:00Z"', "2030-01-01T00:00:00Z", "expires", "text"),
        ('"2030-01-01T00:00:00Z"', '"2030-02-30T00:00:00Z"', "not a time", "2027"),
        ('previous = ""', f'previous = "{"A" * 64}"', "previous", ""),
        ('mode = "enforce"', 'mode = "force"', "unknown mode 'force'", "enforce"),
        ("threshold = 2", "threshold = 4", "threshold 4 of 3", ""),
        ("threshold = 2", "threshold = 0", "threshold 0", ""),
        ('from = ["risk-a", "risk-b", "risk-c"]', "from = []", "threshold 2 of 0", ""),
        ('["risk-a", "risk-b"', '["risk-a", "risk-a"', "'risk-a' is there twice", ""),
        ('["risk-a", "risk-b"', '["risk-a", "risk-x"', "'risk-x', which is no principal", "risk-b"),
        ('"ed25519"', '"rsa"', "unknown algorithm 'rsa'", "ml-dsa-44"),
        ('"ed25519"', '"ml-dsa-44"', "must sign with ml-dsa-44", ""),
        ('predicate = "approval", subject = "credit*"', 'predicate = "approval"', "subject", ""),
        ('subject = "credit*"', 'subject = "credit?"', "more than", ""),
        ('at_least.auc = "0.75"', "at_least.auc = 0.75", "auc", "quotes"),
        ('at_least.auc = "0.75"', 'at_least.auc = ".75"', "not a decimal", "0.75"),
        ('name = "auditor"', 'name = "own"', "witness 'own' is there twice", ""),
        ('name = "auditor"', 'url = ""\nname = "auditor"', r"line \d+.*address", "out"),
        ('name = "auditor"', 'uri = "https://a"\nname = "auditor"', "uri", "url"),
        ('name = "risk-b"', 'name = "risk-a"', "principal 'risk-a' is there twice", ""),
        ('name = "risk-b"', 'name = "risk b"', "space", ""),
        ('name = "risk-b"', 'name = "risk\\u202eb"', "printable", ""),
        ('operator = "Auditor LLP"', 'operator = ""', "operator", ""),
        ("[[witness]]", "[witness]", "not TOML|list of tables", ""),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(bank, old, new, message, hint):
    """Each mistake is refused, says where it is, and most say what was meant."""
    text = format_policy(bank.policy())
    assert old in text
    with pytest.raises(FormatError, match=message) as caught:
        parse_policy(text.replace(old, new, 1))
    assert hint in caught.value.hint
    assert "trust.toml" in str(caught.value)


def test_the_line_of_an_unknown_key_is_its_line(bank):
    """The line in the message is where the editor has to go."""
    lines = format_policy(bank.policy()).splitlines()
    at = lines.index('name = "risk-b"')
    lines.insert(at + 1, "quorom = 1")
    with pytest.raises(FormatError, match=rf"trust\.toml line {at + 2}, principal 4: "):
        parse_policy("\n".join(lines))


def test_a_missing_key_is_named(bank):
    """A policy without its log, or a principal without keys, is refused by name."""
    text = format_policy(bank.policy())
    with pytest.raises(FormatError, match='"name" is missing'):
        parse_policy(text.replace('name = "own"\n', ""))
    with pytest.raises(FormatError, match='"log" is missing'):
        parse_policy('version = 1\nname = "x"\nexpires = "2030-01-01T00:00:00Z"\n')
    with pytest.raises(FormatError, match="risk-b has no key"):
        Principal("risk-b", "Northbank", ())


def test_a_key_belongs_to_one_holder(bank):
    """One key under two names would be two voices, so it is refused however it is renamed."""
    policy = bank.policy()
    a, b = policy.principals[2:4]
    for keys in (a.keys, (replace(a.keys[0], name="another-name"),)):
        with pytest.raises(FormatError, match="has the key of principal risk-a"):
            replace(policy, principals=(a, replace(b, keys=keys)), stages=(), succession=None)
    own, auditor = policy.witnesses
    sham = replace(own, key=replace(policy.log.key, algorithm=Algorithm.COSIGNATURE_ED25519))
    with pytest.raises(FormatError, match="witness own has the key of the log itself"):
        replace(policy, witnesses=(sham,))
    with pytest.raises(FormatError, match="witness auditor has the key of witness own"):
        replace(policy, witnesses=(own, replace(auditor, key=own.key)))


def test_a_key_is_for_one_purpose(bank):
    """A witness's key signs no statements, a principal's key no checkpoints."""
    policy = bank.policy()
    with pytest.raises(FormatError, match="witness's key"):
        Principal("a", "b", (policy.witnesses[0].key,))
    with pytest.raises(FormatError, match="does not make cosignatures"):
        replace(policy.witnesses[0], key=policy.principals[0].keys[0])
    with pytest.raises(FormatError, match="not an Ed25519 key of the log"):
        LogIdentity("other.example/log", policy.log.key, "Northbank")
    with pytest.raises(FormatError, match="is compromised and no key of"):
        replace(policy.principals[0], compromised=(Compromise(policy.log.key.label, 0),))


@pytest.mark.parametrize(
    "hostile",
    [
        b"\xff",
        b"\xef\xbb\xbfversion = 1",
        b"version = " + b"9" * 5000,
        b"a = " + b"[" * 200_000,
        b"a" + b".a" * 100_000 + b" = 1",
        b"#" * 300_000,
        "version = '\ud800'",
        "version = 1\nversion = 2\n",
        "",
    ],
)
def test_a_hostile_file_is_only_refused(hostile):
    """Files built to crash or stall a parser end in the same error as any other bad file."""
    with pytest.raises(FormatError):
        parse_policy(hostile)


@pytest.mark.parametrize(
    ("pattern", "text", "covered"),
    [
        ("*", "", True),
        ("credit", "credit", True),
        ("credit", "credits", False),
        ("credit*", "credit", True),
        ("*-eu", "credit-eu", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*a*", "b", False),
        ("a*" * 30 + "b", "a" * 5000, False),
    ],
)
def test_a_star_stands_for_any_characters(pattern, text, covered):
    """`*` is the only wildcard, matches nothing too, and never makes matching slow."""
    assert Permission("approval", pattern).covers("approval", text) is covered
    assert Permission(pattern, "credit").covers(text, "credit") is covered


def test_the_example_in_the_reference_is_what_we_write():
    """The commented trust.toml of the documentation is a policy, in the words of this release."""
    assert format_policy(parse_policy(EXAMPLE)) == EXAMPLE


def test_the_schema_accepts_what_we_write(bank):
    """The published JSON Schema fits the example, our files and the canonical form."""
    for text in (EXAMPLE, format_policy(bank.policy())):
        SCHEMA.validate(tomllib.loads(text))
        SCHEMA.validate(policy_to_json(parse_policy(text)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("organisation =", "organization ="),
        ('mode = "enforce"', 'mode = "force"'),
        ("quorum = 1", "quorum = -1"),
        ('auc = "0.75"', "auc = 0.75"),
        ('"ed25519"', '"rsa"'),
        ("threshold = 2", "threshold = 0"),
        ('"credit*"', '"credit?"'),
        ('name = "own"', 'name = "own"\nurl = "https://A"'),
        ('name = "own"', 'name = "own"\nurl = ""'),
    ],
)
def test_the_schema_refuses_what_we_refuse(bank, old, new):
    """What the schema calls wrong, the parser calls wrong."""
    text = format_policy(bank.policy()).replace(old, new, 1)
    assert not SCHEMA.is_valid(tomllib.loads(text))
    with pytest.raises(FormatError):
        parse_policy(text)


def test_every_key_is_in_the_reference():
    """The page explains every key that the schema knows."""

    def keys(node):
        if isinstance(node, dict):
            yield from node.get("properties", {})
            for value in node.values():
                yield from keys(value)

    assert {key for key in keys(SCHEMA.schema) if f"`{key}`" not in PAGE} <= {
        "log", "witnesses", "witness", "anchor", "principal", "policy", "stage", "data", "require",
        "chain", "authority",
    }  # fmt: skip


def test_a_key_with_an_odd_name_survives_the_file(bank):
    """Quotes, dots, backslashes and control characters in a key's name cannot break the file."""
    key = replace(bank.policy().log.key, name='a"\\\x7f' + "." * 200)
    policy = replace(bank.policy(), log=LogIdentity(key.name, key, "Northbank"))
    assert parse_policy(format_policy(policy)) == policy
    assert format_vkey(parse_policy(format_policy(policy)).log.key) == format_vkey(key)
