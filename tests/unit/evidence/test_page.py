from __future__ import annotations

import base64
import json
import re
import runpy
from pathlib import Path

import pytest

from counterfoil.core.record import check_disclosures
from counterfoil.errors import FormatError, VerificationError
from counterfoil.evidence.page import MAX_PAGE_BYTES, check_page, format_page, parse_page

GOLDEN = Path(__file__).parents[2] / "golden" / "evidence"
FIELDS = ("kind", "about", "inputs", "output", "reasons")
NAMES = ("letter", "prediction")


def read(name):
    evidence = json.loads((GOLDEN / f"{name}.json").read_bytes())
    record = base64.b64decode(evidence["record"]["record"])
    facts = check_disclosures(record, FIELDS, evidence["disclosures"])
    return (GOLDEN / f"{name}.html").read_bytes(), evidence, facts


@pytest.fixture
def letter():
    return read("letter")


def change(facts, **output):
    return {**facts, "output": {**facts["output"], **output}}


def refusal(page, evidence, facts):
    with pytest.raises(VerificationError) as caught:
        check_page(page, evidence, facts)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_old_pages_verify(name):
    """A page of version 1 is written today as it was when it was handed out, and verifies."""
    page, evidence, facts = read(name)
    assert parse_page(page) == evidence
    check_page(page, evidence, facts)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_page_says_how_to_check_it_for_good(name):
    """A page of version 2 names the trust policy, without which the check would end in a no."""
    _, evidence, facts = read(name)
    page = (GOLDEN / f"{name}.v2.html").read_bytes()
    assert format_page(evidence, facts) == page
    assert b"counterfoil verify FILE --trust trust.toml" in page
    check_page(page, evidence, facts)
    with pytest.raises(VerificationError, match=r"text\.check"):
        check_page(page.replace(b"page v2", b"page v1"), evidence, facts)


def test_golden_files_are_made_by_their_script():
    """The golden evidence is what its script makes from fixed keys, so anybody can make it."""
    make = runpy.run_path(str(GOLDEN / "make.py"))
    shown = ("kind", "about", "inputs", "output")
    values = ("decision", None, {"length": 5.1, "width": 3.5, "wild": True}, 0.8125, None)
    assert make["make"](values, shown) == read("prediction")[1]


@pytest.mark.parametrize(
    "words",
    [
        "North Bank",
        ">refused</h1>",
        "22 November 2026 at 10:04 UTC",
        "A-1043",
        ">0.313<",
        ">0.500<",
        "The loan would run for 36 months",
        ">200 DM or more<",
        "Balance of your checking account",
        "&#8722;0.731",
        "Write to us within 30 days",
        "+44 20 7946 0018",
        "counterfoil verify FILE",
        "ledger.northbank.example/decisions",
    ],
)
def test_a_letter_says_what_a_person_needs(letter, words):
    """A letter says who decided what and when, why, what would have changed it, how to object."""
    assert words in letter[0].decode("ascii")


def test_the_policy_in_the_file_is_not_shown(letter):
    """The policy digest inside a file is nobody's word, so no reader sees it as if it were."""
    page, evidence, _ = letter
    shown = page.decode("ascii").partition("<script")[0]
    assert evidence["policy"] not in shown


def test_withheld_fields_are_listed():
    """A field that is not disclosed is named as withheld."""
    assert b'data-field="withheld.reasons">reasons<' in read("prediction")[0]


def test_an_undisclosed_outcome_is_said_to_be_missing(letter):
    """A copy without the output says so where the outcome would stand."""
    _, evidence, facts = letter
    page = format_page(evidence, {"kind": "decision", "inputs": facts["inputs"]})
    assert b">not shown in this copy</h1>" in page


def test_a_bare_predictor_needs_no_letter():
    """Of a predictor without reasons or notice, the outcome and the inputs are shown."""
    page = read("prediction")[0].decode("ascii")
    assert ">0.8125</h1>" in page
    assert 'data-field="inputs.length">5.1<' in page
    assert "If you disagree" not in page
    assert "Why" not in re.findall(r"<h2>(.*?)</h2>", page)


def test_no_change_found_is_said(letter):
    """Where no single change would have helped, the letter says that it was tried."""
    _, evidence, facts = letter
    reasons = {**facts["reasons"], "recourse": []}
    assert b"No single change that was tried" in format_page(
        evidence, {**facts, "reasons": reasons}
    )


def test_a_close_score_is_told_apart_from_its_threshold(letter):
    """A score just below the threshold is written with as many decimals as show the difference."""
    _, evidence, facts = letter
    page = format_page(evidence, change(facts, score=0.49996)).decode("ascii")
    assert 'data-field="output.score">0.49996<' in page
    assert 'data-field="output.threshold">0.50000<' in page


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (">0.313<", ">0.813<", "output.score"),
        (">refused</h1>", ">granted</h1>", "output.outcome"),
        ("36 months</li>", "6 months</li>", "reasons.principal.2"),
        (">7855<", ">785<", "inputs.credit_amount"),
        ("Credit Review Desk<", "Credit Help Desk<", "output.notice.contact"),
        ("North Bank</p>", "South Bank</p>", "output.notice.organisation"),
        ("<h2>Why</h2>", "<h2>Because</h2>", "text.why"),
        ("What it cannot show", "What it shows too", "text.check"),
        ("Decision letter, North", "Decision letter, South", "title"),
    ],
)
def test_an_edit_is_named(letter, old, new, field):
    """Whoever edits a figure or a word is told the field."""
    page, evidence, facts = letter
    assert page.count(old.encode()) == 1
    message = refusal(page.replace(old.encode(), new.encode()), evidence, facts)
    assert message.startswith(f"{field} (line ")


def test_an_edit_is_set_against_the_proof(letter):
    """The message says where, what the page says, and what is proven."""
    page, evidence, facts = letter
    line = page[: page.index(b">0.313<")].count(b"\n") + 1
    assert refusal(page.replace(b">0.313<", b">0.813<"), evidence, facts) == (
        f'output.score (line {line}): the page says "0.813", proven is "0.313"'
    )


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("--paper: #fffefb", "--paper: #000000", "style, "),
        ("</style>", "td{display:none}</style>", "style, "),
        ("</head>", "<style>td{display:none}</style></head>", "style, "),
        ("<main>", "<script>alert(1)</script><main>", "script, "),
        ("<main>", '<script src="https://example.com/x.js"></script><main>', "script, "),
        ("<main>", '<link rel="stylesheet" href="x.css"><main>', "element <link>, "),
        ("<main>", "<main hidden>", "element <main>, "),
        ("<h1 ", '<h1 style="display:none" ', "element <h1>, output.outcome"),
        ("</ol>", "<li>another reason</li></ol>", "element <li>, text.why"),
        ("style-src", "script-src", "element <meta>, head"),
        ("</body>", "<!-- a comment --></body>", "element <!>, page"),
        ("<!DOCTYPE html>", "<!DOCTYPE htm>", "element <!>, page"),
        ("</html>", "</html><p>more</p>", "element <p>, page"),
        ("</html>", "</html>more", "page (line"),
        ("</html>", "", "page (line"),
        ("<header ", "  <header ", "page (line"),
        ('id="counterfoil-evidence">{"', 'id="counterfoil-evidence">{ "', "evidence, page"),
    ],
)
def test_what_is_not_text_is_named_too(letter, old, new, named):
    """A changed style, an added script, element or attribute is refused under its own name."""
    page, evidence, facts = letter
    message = refusal(page.replace(old.encode(), new.encode(), 1), evidence, facts)
    assert message.startswith(named)


@pytest.mark.parametrize("digits", ["9" * 5000, "x" + "f" * 5000])
def test_a_reference_to_no_character_is_named(letter, digits):
    """A number of thousands of digits, which Python does not read, is a difference like others."""
    page, evidence, facts = letter
    said = refusal(page.replace(b">0.313<", f">&#{digits};<".encode()), evidence, facts)
    assert said.startswith("output.score (line ")


def test_another_proof_does_not_fit(letter):
    """A page checked against other proven values names the value that differs."""
    page, evidence, facts = letter
    assert "output.outcome" in refusal(page, evidence, change(facts, outcome="granted"))


def test_evidence_of_another_record_does_not_fit(letter):
    """A page around the evidence of another record is refused."""
    page, _, facts = letter
    other = read("prediction")[1]
    assert refusal(page, other, facts).startswith("proof.leaf (line ")


@pytest.mark.parametrize(
    "edit",
    [
        lambda page: page.replace(b"\n", b"\r\n"),
        lambda page: page.replace(b"\n", b"\r"),
        lambda page: b"\xef\xbb\xbf" + page,
        lambda page: page.replace(b"\n", b" \t\n"),
        lambda page: page.rstrip(b"\n"),
        lambda page: page + b"\r\n \r\n",
    ],
)
def test_what_editors_change_unseen_is_tolerated(letter, edit):
    """Line ends, a byte order mark and white space at ends of lines are not compared."""
    page, evidence, facts = letter
    edited = edit(page)
    assert parse_page(edited) == evidence
    check_page(edited, evidence, facts)


def test_a_page_is_ascii_without_anything_from_outside(letter):
    """A page looks the same in every encoding, loads nothing and runs nothing."""
    text = letter[0].decode("ascii")
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert not re.search(r"https?:|url\(|@import|<link|<img|<iframe", text)
    assert text.count("<script") == 1


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "a\u202eb", "\x00", "<!--"]
)
def test_hostile_values_are_shown_not_obeyed(letter, hostile):
    """What a record holds is shown as text; what would hide or reorder text is shown by name."""
    _, evidence, facts = letter
    page = format_page(evidence, change(facts, outcome=hostile)).decode("ascii")
    assert hostile not in page
    shown = re.search(r'<h1 data-field="output.outcome">(.*)</h1>', page)[1]
    assert re.fullmatch(r'(?:[^<>]|<span class="unseen">U\+[0-9A-F]+</span>)+', shown)
    check_page(page.encode(), evidence, change(facts, outcome=hostile))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "exactly one block"),
        (b"<html></html>", "exactly one block"),
        (b'<script type="application/json" id="counterfoil-evidence">{}', "exactly one block"),
        (b'<script type="application/json" id="counterfoil-evidence">{}</script>' * 2, "one block"),
        (b'<script type="application/json" id="counterfoil-evidence">[]</script>', "JSON object"),
        (
            b'<script type="application/json" id="counterfoil-evidence">{"a":1,"a":2}</script>',
            "twice",
        ),
        (
            b'<script type="application/json" id="counterfoil-evidence">'
            + b"[" * 10**6
            + b"</script>",
            "deep",
        ),
        (b"\xff", "not UTF-8"),
        (b" " * (MAX_PAGE_BYTES + 1), "at most"),
    ],
    ids=["empty", "none", "cut", "two", "no object", "duplicate key", "deep", "no UTF-8", "huge"],
)
def test_no_page_no_evidence(data, named):
    """What is not a page with exactly one block of evidence is refused, and why is said."""
    with pytest.raises(FormatError, match=named):
        parse_page(data)


def test_an_unknown_version_is_not_judged(letter):
    """A page of a later version is not compared with what this version would write."""
    page, evidence, facts = letter
    with pytest.raises(FormatError, match="counterfoil page v9"):
        check_page(page.replace(b"page v1", b"page v9"), evidence, facts)


@pytest.mark.parametrize("part", ["log", "record", "statements"])
def test_only_evidence_about_a_record_becomes_a_page(letter, part):
    """Evidence that lacks a part cannot be written as a page."""
    _, evidence, facts = letter
    del evidence[part]
    with pytest.raises(FormatError, match="evidence lacks"):
        format_page(evidence, facts)


def test_evidence_must_hold_one_stream(letter):
    """Evidence with no statement of the record's stream cannot be written as a page."""
    _, evidence, facts = letter
    evidence["statements"] = [one for one in evidence["statements"] if one["role"] != "stream"]
    with pytest.raises(FormatError, match="evidence lacks"):
        format_page(evidence, facts)


def test_megabytes_of_blanks_are_read_in_linear_time(letter):
    """Hostile white space does not keep a verifier busy."""
    page, evidence, facts = letter
    edited = page.replace(b"</h1>", b" " * 5_000_000 + b"x</h1>")
    assert "output.outcome" in refusal(edited, evidence, facts)
