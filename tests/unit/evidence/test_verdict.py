from __future__ import annotations

import json

import pytest

from counterfoil.evidence.verdict import Verdict

DIGEST = "ab" * 32


def verdict(**changes):
    values = {
        "what": "decision 17 of credit",
        "grade": "self-witnessed",
        "trusted": True,
        "policy": DIGEST,
        "proved": ("Every value shown is what was recorded.",),
        "not_checked": ("Whether what was recorded is true.",),
        "trust": ("North Bank, about every time.",),
        "facts": {"kind": "decision"},
    }
    return Verdict(**{**values, **changes})


def test_a_trusted_verdict_is_laid_out_for_a_citizen():
    """The printed verdict says what holds, what was not checked, whom to trust, and by what."""
    assert str(verdict()).split("\n\n") == [
        "HOLDS: decision 17 of credit",
        "Proved\n  + Every value shown is what was recorded.",
        "Not checked\n  - Whether what was recorded is true.",
        "You still have to trust\n  ! North Bank, about every time.",
        (
            "Grade\n    self-witnessed. "
            "Nobody outside the log's operator counts as confirming the log."
        ),
        (
            f"Trust policy, SHA-256\n    {DIGEST}\n"
            "    Compare this digest with one that you got from elsewhere than the evidence."
        ),
    ]


def test_without_a_policy_nothing_is_called_trusted():
    """Without a trust policy the verdict says so first, and again at every promise it makes."""
    text = str(verdict(trusted=False, policy=None))
    assert text.startswith("HOLDS TOGETHER, NOT TRUSTED: decision 17 of credit\n")
    assert "Proved, if the keys in it are the right ones\n" in text
    assert "verify again with --trust" in " ".join(text.split())


@pytest.mark.parametrize(("policy", "code"), [(DIGEST, 0), (None, 20)])
def test_the_exit_code_tells_trusted_from_untrusted(policy, code):
    """A script sees from the exit code whether somebody vouched for the keys."""
    assert verdict(trusted=policy is not None, policy=policy).exit_code == code


def test_a_trusted_verdict_names_its_policy():
    """Our own code cannot call something trusted without saying under which policy."""
    with pytest.raises(AssertionError):
        verdict(policy=None)


def test_the_json_holds_everything():
    """`--json` gives every part of the verdict."""
    assert json.loads(json.dumps(verdict().as_dict())) == {
        "what": "decision 17 of credit",
        "trusted": True,
        "grade": "self-witnessed",
        "grades": ["self-witnessed"],
        "policy": DIGEST,
        "proved": ["Every value shown is what was recorded."],
        "not_checked": ["Whether what was recorded is true."],
        "trust": ["North Bank, about every time."],
        "facts": {"kind": "decision"},
    }


def test_hostile_names_cannot_steer_a_terminal():
    """Control and reordering characters in recorded names are printed by name."""
    text = str(verdict(what="decision \x1b[2J of x", proved=("a \u202eb",)))
    assert not set(text) & set("\x1b\u202e")
    assert "[U+001B]" in text
    assert "[U+202E]" in text


def test_long_sentences_fit_a_terminal():
    """Sentences are wrapped to 88 columns; a digest is never broken."""
    text = str(verdict(proved=("word " * 60,)))
    assert max(map(len, text.splitlines())) <= 88
    assert f"    {DIGEST}\n" in text


def test_empty_sections_are_left_out():
    """A heading without a sentence below it is not printed."""
    assert "Not checked" not in str(verdict(not_checked=()))


def test_every_grade_that_is_reached_is_told():
    """Each with what it means; the highest is the grade."""
    both = verdict(grade="time-stamped", grades=("witnessed", "time-stamped"))
    assert both.as_dict()["grades"] == ["witnessed", "time-stamped"]
    text = str(both)
    assert text.index("witnessed. Somebody") < text.index("time-stamped. An authority")
    with pytest.raises(AssertionError):
        verdict(grade="witnessed", grades=("witnessed", "time-stamped"))
