"""The part of a page that a person reads first: the letter, version 1.

Frozen with `counterfoil.evidence.page_v1`. Every part that a record lacks is left out, so that the
same letter serves a refused applicant and a bare predictor; nothing that a record can hold makes
writing it fail.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from counterfoil.evidence.markup import (
    Markup,
    block,
    fact,
    inline,
    join,
    lines,
    number,
    plain,
    rounded,
    section,
    signed,
    table,
    tag,
    text,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterfoil.core.canonical import JsonValue
    from counterfoil.evidence.proof import Proof

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_TIME = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-(\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?Z", re.ASCII)
_MOST_DECIMALS = 17
"""Decimals that tell any two doubles between 0 and 1 apart."""


class Letter:
    """What is written above the perforation.

    Args:
        proof: Where the record lies and what stands behind it.
        facts: The disclosed fields by name; undisclosed ones are absent.
    """

    def __init__(self, proof: Proof, facts: Mapping[str, JsonValue]) -> None:
        self.proof = proof
        self.facts = facts
        self.output = _mapping(facts.get("output"))
        self.reasons = _mapping(facts.get("reasons"))
        self.notice = _mapping(self.output.get("notice"))
        self.labels = _mapping(self.notice.get("labels"))
        self.model = _mapping(self.output.get("model"))
        self.kind = _string(facts.get("kind")) or "record"
        # Without a notice nobody addresses anybody: then the page speaks of the case, not to you.
        self.personal = bool(self.notice)
        self.organisation = _string(self.notice.get("organisation"))

    @property
    def noun(self) -> str:
        """What the page calls itself."""
        return "letter" if self.personal else "page"

    @property
    def title(self) -> str:
        """What a browser calls the page."""
        heading = "Decision letter" if self.personal else f"Recorded {self.kind}"
        return visible(f"{heading}, {self.organisation or self.proof.system}")

    def parts(self) -> tuple[Markup, ...]:
        """Return all parts in reading order; one that the record has nothing for is empty."""
        return (
            self.masthead(),
            self.outcome(),
            self.lead(),
            self.score(),
            self.why(),
            self.recourse(),
            self.data(),
            self.contest(),
            self.withheld(),
        )

    def masthead(self) -> Markup:
        """Name who speaks, and what this is."""
        who = (
            tag("p", text(self.organisation), class_="who", field="output.notice.organisation")
            if self.organisation
            else tag("p", text(self.proof.system), class_="who", field="proof.system")
        )
        is_letter = self.personal and self.kind == "decision"
        what = "Decision letter" if is_letter else f"Record: {self.kind}"
        return block("header", who, tag("p", text(what), field="kind"), field="text.masthead")

    def outcome(self) -> Markup:
        """Write the outcome large, whatever it is."""
        if "output" not in self.facts:
            said, field = text("not shown in this copy"), "text.outcome"
        elif "outcome" in self.output:
            said, field = text(plain(self.output["outcome"])), "output.outcome"
        elif isinstance(self.facts["output"], dict):
            said, field = text("see the recorded values below"), "text.outcome"
        else:
            said, field = text(plain(self.facts["output"])), "output"
        return block(
            "div",
            tag("p", text("The outcome"), class_="eyebrow", field="text.outcome"),
            tag("h1", said, field=field),
            class_="outcome",
        )

    def lead(self) -> Markup:
        """Say in one sentence who decided when, on what, and with which system."""
        said: list[Markup] = []
        if decided := _string(self.output.get("decided")):
            said += [text("On "), inline("output.decided", _when(decided)), text(", ")]
        if self.organisation:
            said += [inline("output.notice.organisation", self.organisation), text(" decided")]
        else:
            said.append(text("a decision was recorded" if said else "A decision was recorded"))
        if self.personal:
            said.append(text(" on your case"))
        if reference := _string(self.notice.get("subject_ref")):
            said += [
                text(" (reference "),
                inline("output.notice.subject_ref", reference),
                text(")"),
            ]
        said += [*self.means(), text(".")]
        if about := _string(self.facts.get("about")):
            said += [text(" It concerns the earlier record "), inline("about", about), text(".")]
        return tag("p", *said, class_="lead", field="text.lead")

    def means(self) -> list[Markup]:
        """Name system and model, once where they are called the same."""
        said: list[Markup] = []
        system, model = _string(self.notice.get("system")), _string(self.model.get("name"))
        if system and system != model:
            said += [text(", using "), inline("output.notice.system", system)]
        if model:
            said += [
                text(", with the help of the automated model "),
                inline("output.model.name", model),
            ]
        if version := _string(self.model.get("version")):
            said += [text(", version "), inline("output.model.version", version)]
        return said

    def score(self) -> Markup:
        """Show how far the score is from the threshold."""
        score, threshold = _number(self.output.get("score")), _number(self.output.get("threshold"))
        if score is None:
            return Markup("")
        shown = [fact("Score", "output.score", _apart(score, threshold))]
        scale = Markup("")
        if threshold is not None:
            shown.append(fact("Threshold", "output.threshold", _apart(threshold, score)))
            if 0 <= score <= 1 and 0 <= threshold <= 1:
                scale = _scale(score, threshold)
        return block("div", block("dl", *shown), scale, class_="score", field="text.score")

    def why(self) -> Markup:
        """List the principal reasons."""
        principal = _list(self.reasons, "principal")
        if not principal:
            return Markup("")
        items = [
            tag("li", text(plain(reason)), field=f"reasons.principal.{rank}")
            for rank, reason in enumerate(principal, 1)
        ]
        return section(
            "why",
            "Why",
            tag("p", text("The main reasons, the weightiest first:")),
            block("ol", *items, class_="reasons"),
        )

    def recourse(self) -> Markup:
        """Show which single changes would have led to another outcome."""
        heading = "What would have changed the outcome"
        steps = [_mapping(step) for step in _list(self.reasons, "recourse")]
        if not steps:
            # Without principal reasons nothing went against the person, and nothing was tried.
            if not _list(self.reasons, "principal") or "recourse" not in self.reasons:
                return Markup("")
            none = "No single change that was tried would have changed the outcome."
            return section("recourse", heading, tag("p", text(none)))
        rows = [self.step(f"reasons.recourse.{rank}", step) for rank, step in enumerate(steps, 1)]
        note = (
            "Each of these changes, on its own and with everything else as it was, would have led "
            "the same model to another outcome:"
        )
        columns = ("What", "It was", "Had it been", "Outcome then")
        return section("recourse", heading, tag("p", text(note)), table("recourse", columns, rows))

    def step(self, field: str, step: Mapping[str, JsonValue]) -> Markup:
        """Write one such change as a row."""
        then = [inline(f"{field}.outcome", plain(step.get("outcome")))]
        score = _number(step.get("score"))
        if score is not None:
            shown = _apart(score, _number(self.output.get("threshold")))
            then += [text(", score "), inline(f"{field}.score", shown)]
        feature = _string(step.get("feature"))
        label = _string(step.get("label")) or self.label(feature)
        return block(
            "tr",
            tag("th", text(label), scope="row", field=f"{field}.label"),
            tag("td", text(plain(step.get("from"))), field=f"{field}.from", class_="from"),
            tag("td", text(plain(step.get("to"))), field=f"{field}.to", class_="to"),
            tag("td", *then, field=field, class_="then"),
        )

    def label(self, feature: str) -> str:
        """Call a feature what the notice calls it."""
        return _string(self.labels.get(feature)) or feature

    def data(self) -> Markup:
        """Show every input once: those that were weighed in the order of their weight."""
        inputs = self.facts.get("inputs", {})
        waiting = dict(inputs) if isinstance(inputs, dict) else {"input": inputs}
        terms = [_mapping(term) for term in _list(self.reasons, "terms")]
        largest = max((abs(_number(term.get("contribution")) or 0) for term in terms), default=0)
        rows = []
        for rank, term in enumerate(terms, 1):
            feature, value = _string(term.get("feature")), term.get("value")
            source = f"reasons.terms.{rank}"
            # A term stands for the input itself unless it says something else of it.
            is_input = feature in waiting and waiting[feature] == term.get(
                "value", waiting[feature]
            )
            field = f"inputs.{feature}" if is_input else f"{source}.value"
            label = _string(self.labels.get(feature)) or _string(term.get("label")) or feature
            effect = _effect(f"{source}.contribution", _number(term.get("contribution")), largest)
            rows.append(_row(label, field, waiting.pop(feature) if is_input else value, effect))
        no_effect = [tag("td")] if terms else []
        rows += [
            _row(self.label(feature), f"inputs.{feature}", value, *no_effect)
            for feature, value in sorted(waiting.items())
        ]
        if not rows:
            return Markup("")
        note = (
            "If anything here is wrong or out of date, tell us: you can have it corrected and ask "
            "for the decision to be made again."
        )
        return section(
            "data",
            "Your data, as we used it" if self.personal else "The data that was used",
            tag("p", text(note)) if self.personal else Markup(""),
            table("data", ("What", "Value used", "Effect on the score")[: 3 if terms else 2], rows),
            self.method(),
        )

    def method(self) -> Markup:
        """Say how to read the bars, and where their numbers come from."""
        if not _list(self.reasons, "terms"):
            return Markup("")
        said = [text("Bars to the left lowered the score, bars to the right raised it.")]
        if method := _string(self.reasons.get("method")):
            said += [text(" Numbers by "), inline("reasons.method", method)]
            if library := _string(self.reasons.get("library")):
                said += [text(" ("), inline("reasons.library", library), text(")")]
            baseline = _number(self.reasons.get("baseline"))
            if baseline is not None:
                said += [text(", on the model\u2019s own scale, counted from ")]
                said += [inline("reasons.baseline", signed(baseline, 3))]
            if reference := _string(self.reasons.get("reference")):
                said += [text(" ("), inline("reasons.reference", reference), text(")")]
            said.append(text("."))
        return tag("p", *said, class_="small")

    def contest(self) -> Markup:
        """Say how to object, and to whom."""
        how, who = _string(self.notice.get("contest")), _string(self.notice.get("contact"))
        said = [tag("p", lines(how), field="output.notice.contest")] if how else []
        if who:
            contact = tag("span", lines(who), field="output.notice.contact", class_="contact")
            said.append(tag("p", text("A person will answer you: "), contact))
        return section("contest", "If you disagree", *said) if said else Markup("")

    def withheld(self) -> Markup:
        """List the fields that the record has and this copy does not show."""
        names = [name for name in self.proof.fields if name not in self.facts]
        missing = [inline(f"withheld.{name}", name) for name in names]
        if not missing:
            return Markup("")
        note = (
            text("This copy leaves out these parts of the record: "),
            join(*missing, by=", "),
            text(". They can be shown later and will fit this same record."),
        )
        return section("withheld", "Not shown in this copy", tag("p", *note))


def _row(label: str, field: str, value: JsonValue, *effect: Markup) -> Markup:
    return block(
        "tr",
        tag("th", text(label), scope="row", field=f"{field} (label)"),
        tag("td", text(plain(value)), field=field),
        *effect,
    )


def _effect(field: str, weight: float | None, largest: float) -> Markup:
    """Draw a bar to the left or right of the middle, and write the number beside it."""
    if weight is None:
        return tag("td")
    length = abs(weight) / largest * 100 if largest else 0.0
    bar = tag(
        "rect",
        x=f"{100 - length if weight < 0 else 100:.1f}",
        y="0",
        width=f"{length:.1f}",
        height="8",
        class_="down" if weight < 0 else "up",
    )
    axis = tag("rect", x="99.5", y="0", width="1", height="8", class_="axis")
    picture = _picture("0 0 200 8", "bar", bar, axis)
    return tag("td", picture, tag("span", text(signed(weight, 3)), field=field), class_="effect")


def _scale(score: float, threshold: float) -> Markup:
    """Draw the score on the line from 0 to 1, with a tick at the threshold."""
    return _picture(
        "0 0 1000 16",
        "scale",
        tag("rect", x="0", y="7", width="1000", height="2", class_="axis"),
        tag("rect", x="0", y="5", width=f"{1000 * score:.1f}", height="6", class_="mark"),
        tag("rect", x=f"{998 * threshold:.1f}", y="0", width="3", height="16", class_="limit"),
    )


def _picture(box: str, name: str, *shapes: Markup) -> Markup:
    # Hidden from screen readers: the numbers beside it say the same.
    return tag(
        "svg", *shapes, viewBox=box, preserveAspectRatio="none", class_=name, aria_hidden="true"
    )


def _apart(value: float, other: float | None) -> str:
    """Round to the fewest decimals, three at least, that still tell `value` from `other`."""
    for decimals in range(3, _MOST_DECIMALS):
        written = rounded(value, decimals)
        if other is None or other == value or rounded(other, decimals) != written:
            return written
    return number(value)


def _when(moment: str) -> str:
    found = _TIME.fullmatch(moment)
    if not found:
        return moment
    year, month, day, clock = found.groups()
    return f"{int(day)} {_MONTHS[int(month) - 1]} {year} at {clock} UTC"


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _list(parent: Mapping[str, JsonValue], key: str) -> list[JsonValue]:
    value = parent.get(key)
    return value if isinstance(value, list) else []


def _string(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _number(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
