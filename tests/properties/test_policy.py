from __future__ import annotations

import tomllib
from functools import lru_cache
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.instant import format_instant, parse_instant
from counterfoil.core.judgement import evaluate_data, evaluate_stage
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.policy import (
    Predecessor,
    Succession,
    TrustPolicy,
    format_policy,
    parse_policy,
    policy_from_json,
    policy_to_json,
)
from counterfoil.core.principals import Compromise, Permission, Principal
from counterfoil.core.quorum import LogIdentity, Witness
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.core.retention import RetentionRule
from counterfoil.core.statement import Statement, Subject, predicate_type
from counterfoil.core.testimony import Testimony as Heard  # pytest collects names in Test...
from counterfoil.core.toml import format_value, parse_toml
from counterfoil.errors import CounterfoilError, FormatError


@lru_cache
def make_key(name, algorithm):
    seed = sha256(f"{name} {algorithm}".encode()).digest()
    if algorithm is Algorithm.COSIGNATURE_ML_DSA_44:
        return PrivateKey.from_private(name, algorithm, MLDSA44PrivateKey.from_seed_bytes(seed)).key
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return PrivateKey.from_private(name, algorithm, private).key


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12
).filter(lambda text: text.isprintable())
LINES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
PATTERNS = LINES.filter(lambda text: not set(text) & set("?[]"))
NUMBERS = (
    st.decimals(allow_nan=False, allow_infinity=False, places=3)
    .map(lambda number: f"{abs(number):.3f}"[-30:].lstrip("0") or "0")
    .map(lambda text: f"0{text}" if text.startswith(".") else text)
)
INSTANTS = (
    st.datetimes()
    .filter(lambda at: at.year >= 1970)
    .map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"))
)
RETENTION = st.builds(
    RetentionRule,
    LINES,
    st.integers(0, 1200),
    LINES,
    st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=3).map(tuple),
    PATTERNS,
)
BOUNDS = st.dictionaries(WORDS, NUMBERS, max_size=2).map(lambda bounds: tuple(bounds.items()))


@st.composite
def requirements(draw, names):
    among = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    return Requirement(
        draw(WORDS),
        draw(st.integers(1, len(among))),
        tuple(among),
        draw(BOUNDS),
        draw(BOUNDS),
    )


@st.composite
def principals(draw, name, number):
    algorithms = draw(
        st.lists(
            st.sampled_from([Algorithm.ED25519, Algorithm.COSIGNATURE_ML_DSA_44]),
            min_size=1,
            unique=True,
        )
    )
    keys = tuple(make_key(f"p{number}", one) for one in algorithms)
    stolen = draw(st.lists(st.sampled_from(keys), unique=True))
    return Principal(
        name,
        draw(LINES),
        keys,
        tuple(draw(st.lists(st.sampled_from(algorithms), unique=True))),
        tuple(draw(st.lists(st.builds(Permission, PATTERNS, PATTERNS), max_size=2))),
        tuple(Compromise(key.label, draw(st.integers(0, 2**53 - 1))) for key in stolen),
    )


@st.composite
def predecessors(draw, most):
    digests = draw(st.lists(st.binary(min_size=32, max_size=32), max_size=most, unique=True))
    ends = st.integers(0, 2**53 - 1)
    untils = draw(st.lists(ends, min_size=len(digests), max_size=len(digests), unique=True))
    return tuple(
        Predecessor(digest.hex(), until)
        for digest, until in zip(digests, sorted(untils), strict=True)
    )


@st.composite
def policies(draw):
    names = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    witnesses = tuple(
        Witness(
            name,
            make_key(f"w{number}", Algorithm.COSIGNATURE_ED25519),
            draw(LINES),
            url=draw(
                st.just("") | st.from_regex(r"https?://[a-z]{1,9}(:[1-9])?(/w)?", fullmatch=True)
            ),
            post_quantum=draw(
                st.none() | st.just(make_key(f"w{number}", Algorithm.COSIGNATURE_ML_DSA_44))
            ),
        )
        for number, name in enumerate(draw(st.lists(WORDS, max_size=3, unique=True)))
    )
    rules = st.lists(requirements(names), max_size=2).map(tuple)
    words = st.lists(WORDS, max_size=3, unique=True).map(tuple)
    modes = st.sampled_from(Mode)
    stages = draw(st.dictionaries(WORDS, st.tuples(modes, words, rules), max_size=2))
    among = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    version = draw(st.integers(1, 2**53 - 1))
    return TrustPolicy(
        name=draw(LINES),
        version=version,
        expires=draw(INSTANTS),
        previous="" if version == 1 else draw(st.binary(min_size=32, max_size=32)).hex(),
        log=LogIdentity("log.example", make_key("log.example", Algorithm.ED25519), draw(LINES)),
        witnesses=witnesses,
        quorum=draw(st.integers(0, len(witnesses))),
        principals=tuple(draw(principals(name, at)) for at, name in enumerate(names)),
        stages=tuple(Stage(name, *rest) for name, rest in stages.items()),
        data=draw(
            st.none()
            | st.builds(DataRules, modes, words, rules, st.booleans(), st.just(tuple(among)))
        ),
        succession=draw(
            st.none() | st.builds(Succession, st.integers(1, len(among)), st.just(tuple(among)))
        ),
        retention=draw(st.none() | st.lists(RETENTION, max_size=2).map(tuple)),
        predecessors=draw(predecessors(min(version - 1, 3))),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
LOG = make_key("log.example", Algorithm.ED25519)


@given(policies())
def test_every_policy_survives_both_its_forms(policy):
    """Whatever policy can be made reads back equal from TOML and from canonical JSON."""
    text = format_policy(policy)
    assert parse_policy(text) == policy
    assert format_policy(parse_policy(text)) == text
    assert policy_from_json(parse_canonical(format_json(policy_to_json(policy)))) == policy
    assert parse_policy(text).digest == policy.digest


@given(st.binary() | st.text())
def test_any_bytes_raise_only_our_errors(data):
    """Noise is refused as badly formatted, whatever it is."""
    with pytest.raises(FormatError):
        parse_policy(data)


@given(policies(), st.data())
def test_a_damaged_file_raises_only_our_errors(policy, data):
    """A file with a piece cut out or put in is another policy or a format error."""
    text = format_policy(policy)
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 20)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[end:]
    try:
        read = parse_policy(damaged)
    except FormatError as error:
        assert str(error)  # noqa: PT017 - a harmless cut may still be a policy
    else:
        assert parse_policy(format_policy(read)) == read


def places(node):
    """Every place in a tree of JSON, as container and key."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


@given(policies(), st.data())
def test_any_json_raises_only_our_errors(policy, data):
    """A value of any kind in any place of the form is refused, or is a policy in full form."""
    form = policy_to_json(policy)
    container, key = data.draw(st.sampled_from(list(places(form))))
    container[key] = data.draw(JSON)
    try:
        read = policy_from_json(form)
    except FormatError as error:
        assert str(error)  # noqa: PT017 - another text in its place may still be a policy
    else:
        assert policy_to_json(read) == form


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(TEXT, TEXT)
def test_a_toml_text_reads_back(key, value):
    """Any text survives being written as a TOML value."""
    line = f"x = {format_value([value, {'y' + key: value}])}"
    assert parse_toml(line, "f").values == {"x": [value, {"y" + key: value}]} == tomllib.loads(line)


@given(st.text(max_size=30))
def test_any_text_as_a_time_raises_only_our_errors(text):
    """What is not a time is a format error."""
    with pytest.raises(FormatError):
        parse_instant(text, "x")


BODIES = st.dictionaries(
    st.sampled_from(["metrics", "expires", "after", "stage", "purposes", "personal", "x"]),
    JSON | st.dictionaries(st.just("auc"), JSON),
)
SUBJECT = Subject("credit", {"sha256": "ab" * 32})
GATE = TrustPolicy(
    name="n",
    version=1,
    expires="2030-01-01T00:00:00Z",
    log=LogIdentity("log.example", LOG, "o"),
    principals=(
        Principal("a", "o", (make_key("a", Algorithm.ED25519),), (), (Permission("*", "*"),)),
    ),
    stages=(
        Stage("s", Mode.ENFORCE, ("skops",), (Requirement("p", 1, ("a",), (("auc", "0.5"),)),)),
    ),
    data=DataRules(Mode.ENFORCE, ("x",), (Requirement("dataset", 1, ("a",)),), consent_from=("a",)),
)


@given(st.lists(st.tuples(st.sampled_from(["p", "dataset", "consent", "revocation"]), BODIES)))
def test_any_statement_body_is_judged(bodies):
    """Whatever statements say, a gate comes to a judgement, and adding junk never opens it."""
    found = [
        Heard(
            index, bytes([index]), Statement((SUBJECT,), predicate_type(kind), body), ("a",), ("a",)
        )
        for index, (kind, body) in enumerate(bodies)
    ]
    for judgement in (
        evaluate_stage(GATE, "s", SUBJECT, found, model_format="skops", now=0),
        evaluate_data(GATE, "x", SUBJECT, found, now=0),
    ):
        try:
            assert judgement.check().grounds
        except CounterfoilError:
            assert judgement.reasons


@given(INSTANTS)
def test_a_time_survives_its_number(text):
    """Whatever time can be written is written again from its Unix seconds."""
    assert format_instant(parse_instant(text, "x")) == text
