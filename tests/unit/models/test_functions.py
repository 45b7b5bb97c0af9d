"""What a function is known by: text that gives the code that runs, and plain values bound to it."""

from __future__ import annotations

import functools
import importlib
import inspect
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal, localcontext
from enum import Enum
from fractions import Fraction
from textwrap import dedent

import pytest

import counterfoil as cf
from counterfoil.core.requirements import Mode
from counterfoil.models.functions import code_of

FACTOR = 3


def score(rows):
    """Answer, and say so."""
    return [0.9 for _ in rows]  # a comment counts, too


def bounded(rows, least=FACTOR, *, most=9):
    return [min(max(row[0], least), most) for row in rows]


def made(least):
    def inner(rows):
        return [max(row[0], least) for row in rows]

    return inner


def loud(function):
    @functools.wraps(function)
    def inner(rows):
        return [2 * one for one in function(rows)]

    return inner


@dataclass(frozen=True)
class Rule:
    least: float

    def __call__(self, rows):
        return [self.bound(row[0]) for row in rows]

    def bound(self, value):
        return max(value, self.least)


class Meant:
    def __init__(self, service):
        self.service = service

    @property
    def least(self):
        return 1

    @staticmethod
    def double(rows):
        return [2 for _ in rows]

    def ask(self, rows):
        return [self.least for _ in rows]


TWO = {"fair": lambda rows: [0.9 for _ in rows], "harsh": lambda rows: [0.1 for _ in rows]}
# fmt: off
SPREAD = {
    "fair": lambda rows:
        [0.9 for _ in rows],
    "harsh": lambda rows:
        [0.1 for _ in rows],
    "inner": lambda rows: sorted(rows, key=lambda row: row[0]),
}
# fmt: on


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import a text as a module, anew each time."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(text, name="rule_of_a_test"):
        (tmp_path / f"{name}.py").write_text(dedent(text))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    yield load
    sys.modules.pop("rule_of_a_test", None)


def test_a_function_with_nothing_bound_is_its_text():
    """The digest that a log holds since before is that of the text as it stands, and stays."""
    assert code_of(score).decode() == inspect.getsource(score)
    assert code_of(loud).decode() == inspect.getsource(loud)


def test_a_function_of_another_code_passes_no_gate(tmp_path):
    """Where a policy enforces, only the approved one of several rules decides."""
    with cf.init(tmp_path / "ledger") as ledger:
        ledger.models.add(TWO["fair"], name="credit")
        ledger.models.approve("credit", by=("operator",))
        policy = ledger.policy.show()
        needs = tuple(one for one in policy.stages[0].requirements if one.predicate == "approval")
        stage = replace(
            policy.stages[0], mode=Mode.ENFORCE, formats=("callable",), requirements=needs
        )
        ledger.policy.adopt(policy.followed_by(stages=(stage,)))
        assert ledger.models.load("credit", predictor=TWO["fair"]).decide([[1]]).output[0] == 0.9
        for other in (TWO["harsh"], SPREAD["harsh"]):
            with pytest.raises(cf.CounterfoilError):
                ledger.models.load("credit", predictor=other)


def test_functions_that_begin_on_one_line_differ():
    """Beside each other or one within the other; the first is known by the line alone."""
    outer = lambda rows: lambda more: rows + more  # noqa: E731
    written = [code_of(one) for one in (*TWO.values(), outer, outer([]))]
    assert len(set(written)) == len(written)
    assert written[0].decode() == inspect.getsource(TWO["fair"])
    assert b"# function 2 of its first line" in written[1]
    assert b"# function 2 of its first line" in written[3]


def test_the_text_of_a_function_reaches_its_end():
    """Two that begin alike and go on over several lines differ."""
    assert b"0.9" in code_of(SPREAD["fair"]) != code_of(SPREAD["harsh"])
    assert b"row[0]" in code_of(SPREAD["inner"])


def test_a_file_that_changed_since_it_was_imported_is_no_text(module, tmp_path):
    """The old code runs and the new text is on disk: nothing is attested of either."""
    old = module("def f(rows):\n    return [0.1 for r in rows]\n").f
    before = code_of(old)
    changed = module("def f(rows):\n    return [0.9 for r in rows]\n").f
    assert code_of(changed) != before
    with pytest.raises(cf.FormatError, match="not the code that runs"):
        code_of(old)
    (tmp_path / "rule_of_a_test.py").write_text("def f(:\n")
    with pytest.raises(cf.FormatError, match="not the code that runs"):
        code_of(changed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (functools.partial(bounded, least=3), functools.partial(bounded, least=4)),
        (functools.partial(bounded, [[1]]), functools.partial(bounded, [[2]])),
        (functools.partial(bounded), functools.partial(score)),
        (made(1), made(100)),
        (made({"a": (1, None)}), made({"a": (2, None)})),
        (loud(score), loud(bounded)),
        (loud(score), score),
        (Rule(1.0), Rule(2.0)),
        (Meant(1).ask, Meant(2).ask),
        (Meant(1).ask, Meant.double),
    ],
    ids=[
        *("keyword", "argument", "none", "around", "dict"),
        *("wrapped", "wrapper", "object", "self", "static"),
    ],
)
def test_what_is_bound_to_a_function_counts(one, other):
    """Arguments, values around it, the function it wraps and an object's attributes."""
    assert code_of(one) == code_of(one)
    assert code_of(one) != code_of(other)


def test_defaults_count(module):
    """The text says `k=K`; what K was is part of the model."""
    text = "K = {}\ndef f(rows, k=K, *, j=K):\n    return [k for r in rows]\n"
    first, second = (code_of(module(text.format(k)).f) for k in (1, 2))
    assert first != second
    assert first.decode().endswith("# k = 1\n# j = 1\n")


NUMPY = pytest.importorskip("numpy")
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


class Grade(Enum):
    GOOD = 1
    BAD = 2


@pytest.mark.parametrize(
    ("value", "other", "written"),
    [
        (Decimal("1E+5"), Decimal(100000), "Decimal('1E+5')"),
        (Fraction(1, 3), Fraction(1, 2), "Fraction(1, 3)"),
        (WHEN, WHEN.replace(tzinfo=None), None),
        (WHEN.date(), WHEN, "datetime.date(2026, 1, 2)"),
        (time(1), time(2), None),
        (timedelta(1), timedelta(2), None),
        (range(3), range(4), "range(0, 3)"),
        (Grade.GOOD, Grade.BAD, "Grade.GOOD(1)"),
        (NUMPY.float64(0.5), 0.5, "numpy.float64(0.5)"),
        (NUMPY.float64(0.5), NUMPY.float32(0.5), None),
        (NUMPY.int8(3), NUMPY.int8(4), "numpy.int8(3)"),
        (NUMPY.bool_(True), NUMPY.bool_(False), "numpy.bool(True)"),
        (NUMPY.str_("a"), "a", None),
        (NUMPY.datetime64("2026-01-02"), NUMPY.datetime64("2026-01-02", "ns"), None),
        ({Grade.GOOD: [Decimal(1)]}, {Grade.GOOD: [Decimal(2)]}, None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_values_that_say_all_about_themselves_count(value, other, written):
    """A threshold counts as any number does, whatever it is written as; so does its type."""
    text = code_of(made(value)).decode()
    assert text != code_of(made(other)).decode()
    assert "not covered" not in text
    with localcontext(capitals=0):
        assert code_of(made(value)).decode() == text
    assert written is None or text.endswith(f"# least = {written}\n")


@pytest.mark.parametrize(
    "value",
    [
        WHEN.replace(tzinfo=type("Zone", (tzinfo,), {})()),
        type("Mine", (Decimal,), {})(1),
        Enum("Held", {"ONE": object()}).ONE,
        NUMPY.longdouble(1),
        NUMPY.zeros(1, dtype=[("a", "i4")])[0],
        NUMPY.array(1),
        [NUMPY.array(1)],
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_value_that_says_less_is_not_covered(value):
    """What somebody else's zone or class does with it stands in none of its own text."""
    assert "which is not covered" in code_of(made(value)).decode()


def test_what_is_not_covered_is_named():
    """A connection or an array is no plain value: the text that is hashed says so."""
    assert (
        "# self service is a builtins.object, which is not covered"
        in code_of(Meant(object()).ask).decode()
    )
    assert "# least is a " in code_of(made(FACTOR.__class__)).decode()


def test_what_a_decorator_made_of_a_class_does_not_count():
    """Python's own code differs from version to version, and the class is the same."""
    assert code_of(Rule(1.0)).decode() == dedent("""\
        class Rule
        # asked is
        #         def __call__(self, rows):
        #             return [self.bound(row[0]) for row in rows]
        # class bound is
        #         def bound(self, value):
        #             return max(value, self.least)
        # self least = 1.0
    """)


def test_a_function_that_calls_itself_ends():
    """It stands around itself."""

    def down(rows):
        return down(rows[1:]) if rows else []

    assert b"# down is this function" in code_of(down)


def test_what_has_no_text_is_known_by_all_its_code():
    """In every process alike, whatever order a set has there; what it catches counts."""
    script = """
        from hashlib import sha256
        from counterfoil.models.functions import code_of
        names = {}
        exec(f"def f(rows):\\n try: return [r in {{'a','b','c','d'}} for r in rows]\\n"
             " except KeyError: return 1\\ndef g(*rows): return 1\\ndef h(rows): return 1", names)
        print(*(sha256(code_of(names[one])).hexdigest() for one in "fgh"))
    """
    said = {
        subprocess.run(
            [sys.executable, "-c", dedent(script)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "1234"
    }
    assert len(said) == 1
    assert len(set(said.pop().split())) == 3


def test_code_that_is_part_of_another_text_is_known_by_itself(tmp_path):
    """A page that has programs in it is no program."""
    page, names = tmp_path / "page.md", {}
    page.write_text("Here it is:\ndef f(rows): return 1\n")
    for text in ("\ndef f(rows): return 1\n", "\ndef g(rows): return 2\n"):
        exec(compile(text, str(page), "exec"), names)  # noqa: S102  # as tests/docs does
    assert code_of(names["f"]).startswith(b"(b")
    assert code_of(names["f"]) != code_of(names["g"])


@pytest.mark.parametrize(
    "model", [len, functools.lru_cache(score), Rule], ids=["built in", "cache", "class"]
)
def test_what_has_no_code_of_its_own_is_refused(model):
    """There is nothing to hash; a function around it has."""
    with pytest.raises(cf.FormatError, match="can be neither saved nor hashed"):
        code_of(model)
