"""Evidence of a log that went on in shards: whole, and as those would have it who hold its keys."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import counterfoil as cf
from counterfoil import front
from counterfoil.core.canonical import format_json
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Signer
from counterfoil.core.merkle import Hash, leaf_hash, prove_inclusion, root_of
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.receipt import Receipt, format_receipt
from counterfoil.core.succession import policy_statement
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.ledger import sharding
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.rotation import rotate_key
from counterfoil.ledger.sharding import shard_after

GOLDEN = Path(__file__).parents[2] / "golden" / "sharded"


def say_no(rows):
    return ["no" for _ in rows]


def say_yes(rows):
    return ["yes" for _ in rows]


def shard(folder, following):
    """Go on in another folder, and close both."""
    with cf.open(folder) as ledger, ledger.shard(following, despite_records=True):
        pass
    return following


@dataclass
class Years:
    """A log in three shards: all that a verifier, or a forger who holds every key, could have."""

    origins: tuple[str, ...]
    entries: tuple[list[bytes], ...]
    signers: tuple[Signer, ...]
    policies: tuple[TrustPolicy, ...]
    of_2026: Any
    of_2027: Any
    stranger: dict[str, Any]
    other: dict[str, Any]


def part(ledger, index, role):
    return {
        "role": role,
        "entry": format_base64(ledger.entry(index)),
        "receipt": format_receipt(ledger.receipt(index)).decode(),
        "log": ledger.origin,
    }


@pytest.fixture(scope="module")
def years(tmp_path_factory):
    """Decisions of 2026 and 2027; in 2026 the policy and the log's key changed."""
    root = tmp_path_factory.mktemp("years")
    places = tuple(root / year for year in ("2026", "2027", "2028"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COUNTERFOIL_HOME", str(root / "home"))
        csv = root / "applicants.csv"
        csv.write_text("income,approved\n1,0\n2,1\n")
        with cf.init(places[0], organisation="Northbank") as ledger:
            data = ledger.data.add(csv, name="applicants")
            ledger.data.add(csv, name="unrelated")
            model = ledger.models.add(say_no, name="credit", trained_on=data)
            ledger.models.attest_evaluation(model, {"metrics": {"auc": "0.79"}})
            ledger.add_principal("stranger")
            said = {"stage": "production", "decision": "approve"}
            ledger.attest([model.subject], "approval", said, by=("stranger",))
            model.decide([[1]])
            ledger.policy.enforce()
        with cf.open(places[0]) as ledger:
            rotate_key(ledger)
        shard(places[0], places[1])
        with cf.open(places[1]) as ledger:
            ledger.models.add(say_no, name="credit").decide([[2]])
        shard(places[1], places[2])
        with cf.open(places[0]) as first, cf.open(places[1]) as second, cf.open(places[2]) as third:
            logs = (first, second, third)
            decided = first.decisions.show("credit", 0)
            unrelated = first.find(predicate="dataset")[1].index
            approval = first.find(predicate="approval")[0].index
            yield Years(
                tuple(log.origin for log in logs),
                tuple([log.entry(at) for at in range(log.size)] for log in logs),
                tuple(load_key(log.places.keys / "log.pem") for log in logs),
                tuple(log.policy.show() for log in logs),
                first.evidence.make(decided, later=(second, third)),
                second.evidence.make(
                    second.decisions.show("credit", 0), earlier=(first,), later=(third,)
                ),
                part(first, approval, "approval"),
                part(first, unrelated, "dataset"),
            )


def test_golden_evidence_of_shards_verifies():
    """What was handed out once holds by the policy that was handed out with it, for ever."""
    verdict = cf.verify(GOLDEN / "decision.json", trust=GOLDEN / "trust.toml")
    assert verdict.trusted
    assert verdict.what == "decision 1 of model"
    assert sum("2026-" in one and " said `" in one for one in verdict.proved) == 2


def test_a_decision_of_an_ended_log_holds_by_the_newest_policy(years):
    """By the policy of two years later alone: the verdict says which log, and by what it judges."""
    verdict = cf.verify(years.of_2026, trust=years.policies[2])
    first, second, third = years.origins
    assert verdict.trusted
    assert verdict.policy == years.policies[2].digest.hex()
    said = "\n".join(verdict.proved)
    assert f"The log {first} holds the batch with this record" in said
    assert f"Version 1 of the trust policy of {first} was in force then" in said
    assert f"the one with the SHA-256 {years.policies[0].digest.hex()}, which its hand-over" in said
    size = len(years.entries[0])
    assert f"{first} ended with {size} entries, {second} ended with" in said
    assert f"went on as {third}" in said
    assert f"Who had cosigned {first}, {second} meanwhile" in "\n".join(verdict.not_checked)
    assert f"Whoever ran {first}, that its hand-over names" in "\n".join(verdict.trust)
    assert "(in " not in years.of_2026.page().decode()


def test_it_holds_by_no_other_policy(years):
    """Whoever knows an older shard only is told to get the newest policy; none is no trust."""
    for older in years.policies[:2]:
        with pytest.raises(cf.PolicyError, match="this evidence is of the log") as refused:
            cf.verify(years.of_2026, trust=older)
        assert "or has ended" in refused.value.hint
    verdict = cf.verify(years.of_2026)
    assert not verdict.trusted
    assert years.origins[2] in "\n".join(verdict.trust)


def test_what_was_said_in_an_earlier_shard_is_told_with_its_place(years):
    """Who said it by that shard's policy, where; a gate of the record's log does not count it."""
    verdict = cf.verify(years.of_2027, trust=years.policies[2])
    first, second, _ = years.origins
    said, not_checked = "\n".join(verdict.proved), "\n".join(verdict.not_checked)
    assert f"The log {second} holds the batch" in said
    assert "operator said `model` about credit, at entry " in said
    assert f"operator said `dataset` about applicants, at entry 1 of {first}." in said
    assert "operator said `evaluation` about credit" in said
    assert "evaluation needs 1 of operator; what counts is by nobody" in said
    assert "What `approval` about credit says" in not_checked
    assert "`approval`" not in said
    assert f"a gate of {second} looks at its own log alone" in not_checked
    page = years.of_2027.page().decode()
    assert f"applicants (in {first})" in page
    assert f"applicants (in {second})" not in page


def test_what_is_about_something_else_is_not_told(years):
    """An earlier shard's statement counts as shown only if it is about this model or its data."""
    body = with_more(years.of_2027.body, years.other)
    verdict = cf.verify(format_json(body), trust=years.policies[2])
    assert "unrelated" not in "\n".join(verdict.proved)
    assert "What 1 of the statements of earlier shards have to do" in "\n".join(verdict.not_checked)


def with_more(body, statement):
    return {**body, "statements": [*body["statements"], statement]}


def refuse(body, policy, match, kind=cf.CounterfoilError):
    with pytest.raises(kind, match=match):
        cf.verify(format_json(body), trust=policy)


def change(steps):
    """Change the links of the file; gives the function that does it."""

    def changed(body):
        links = copy.deepcopy(body["shards"])
        return {**body, "shards": steps(links)}

    return changed


def link(handover, takeover):
    return [{"handover": handover, "takeover": takeover}]


CHANGES = {
    "none": (change(lambda _: []), "`shards`"),
    "missing-first": (change(lambda links: links[1:]), "is none of the shards"),
    "missing-last": (change(lambda links: links[:1]), "signed"),
    "reordered": (change(lambda links: links[::-1]), "signed"),
    "twice": (change(lambda links: [*links, links[-1]]), "signed"),
    "too-many": (change(lambda links: links * 33), "`shards`"),
    "handover-of-another": (
        change(lambda links: link(links[1]["handover"], links[0]["takeover"]) + links[1:]),
        "signed",
    ),
    "takeover-as-handover": (
        change(lambda links: link(links[0]["takeover"], links[0]["takeover"]) + links[1:]),
        "signed",
    ),
    "handover-as-takeover": (
        change(lambda links: links[:1] + link(links[1]["handover"], links[1]["handover"])),
        "signed",
    ),
    "only-takeover": (
        change(lambda links: [{"takeover": one["takeover"]} for one in links]),
        "`shards`",
    ),
    "more-in-a-link": (change(lambda links: [one | {"more": 1} for one in links]), "`shards`"),
    "no-receipt": (
        change(lambda links: [*links[:1], links[1] | {"handover": {"entry": "AAAA"}}]),
        "`shards`",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_links_that_were_changed_tie_nothing_together(years, name):
    """Missing, in another order, twice, of another log: refused, and never read past."""
    changed, match = CHANGES[name]
    assert cf.verify(format_json(years.of_2026.body), trust=years.policies[2]).trusted
    refuse(changed(years.of_2026.body), years.policies[2], match)


def test_members_are_those_of_the_version(years):
    """Links without `newest`, or in a file of an older version, are no evidence."""
    body = dict(years.of_2026.body)
    for changed in (
        {key: body[key] for key in body if key != "newest"},
        {key: body[key] for key in body if key != "shards"},
        body | {"counterfoil": "evidence/v1"},
        body | {"counterfoil": "evidence/v3"},
        body | {"counterfoil": "evidence/v5"},
        body | {"newest": body["log"]},
        body | {"newest": {**body["newest"], "origin": "elsewhere"}},
        body | {"log": body["newest"]},
    ):
        refuse(changed, years.policies[2], None, (cf.FormatError, cf.VerificationError))


def test_a_part_lies_in_a_shard_before_the_records(years):
    """Not in a log that is none of them, in a newer one, or in the record's under its name."""
    first, second, third = years.origins
    for origin in ("elsewhere", second, third):
        changed = with_more(years.of_2027.body, years.other | {"log": origin})
        refuse(changed, years.policies[2], "where it cannot lie")
    without = {key: years.other[key] for key in years.other if key != "log"}
    refuse(with_more(years.of_2027.body, without), years.policies[2], "signed")
    body = copy.deepcopy(years.of_2027.body)
    for one in body["statements"]:
        if one["role"] in {"stream", "batch"}:
            one["log"] = first
    refuse(body, years.policies[2], "where it cannot lie")
    refuse(
        with_more(years.of_2027.body, years.other | {"log": 1}), years.policies[2], "`statements`"
    )


def forged(entries, origin, signer):
    """Sign a tree of these entries, as whoever has the log's key can; gives receipts for it."""
    hashes = [leaf_hash(entry) for entry in entries]
    note = sign_checkpoint(Checkpoint(origin, len(hashes), root_of(hashes)), signer)

    def node(level: int, at: int) -> Hash:
        return root_of(hashes[at << level : (at + 1) << level])

    def receipt(index):
        path = prove_inclusion(index, len(hashes), node)
        return format_receipt(Receipt(index, path, note)).decode()

    return receipt


def test_nothing_is_appended_to_an_ended_log(years):
    """Whoever still has its key can sign a longer tree, or another one; neither was taken over."""
    first = years.origins[0]
    late = parse_base64(years.stranger["entry"], "entry") + b" "
    longer = [*years.entries[0], late]
    receipt = forged(longer, first, years.signers[0])
    for entry, index in ((late, len(longer) - 1), (years.entries[0][1], 1)):
        added = years.other | {"entry": format_base64(entry), "receipt": receipt(index)}
        refuse(with_more(years.of_2027.body, added), years.policies[2], "tied together")
    exchanged = [*years.entries[0][:1], late, *years.entries[0][2:]]
    receipt = forged(exchanged, first, years.signers[0])
    added = years.other | {"entry": format_base64(late), "receipt": receipt(1)}
    refuse(with_more(years.of_2027.body, added), years.policies[2], "tied together")
    links = copy.deepcopy(years.of_2027.body["shards"])
    at = len(longer) - 2
    links[0]["handover"]["receipt"] = forged(longer, first, years.signers[0])(at)
    refuse({**years.of_2027.body, "shards": links}, years.policies[2], "took over at")


def test_the_hand_over_is_the_last_entry(years):
    """Another entry of the old log is none, whatever it says."""
    receipt = forged(years.entries[0], years.origins[0], years.signers[0])
    links = copy.deepcopy(years.of_2026.body["shards"])
    entry = format_base64(years.entries[0][1])
    links[0]["handover"] = {"entry": entry, "receipt": receipt(1)}
    refuse({**years.of_2026.body, "shards": links}, years.policies[2], "is not its hand-over")


def test_a_log_goes_on_as_one_other(tmp_path, monkeypatch):
    """A second successor, which the old key signed for too, is not the one that it names."""
    old, right, wrong = tmp_path / "old", tmp_path / "right", tmp_path / "wrong"
    with cf.init(old) as ledger:
        ledger.models.add(say_no, name="credit").decide([[1]])
    shard(old, right)
    with monkeypatch.context() as forging, cf.open(old) as ledger:
        forging.setattr(sharding, "_has_ended_for", lambda *_: True)
        forging.setattr(front, "shard_after", lambda _: None)
        with ledger.shard(wrong, despite_records=True) as following:
            policy = following.policy.show()
            following.refresh()
            with pytest.raises(cf.ConflictError, match="is not the shard after"):
                ledger.evidence.make(ledger.decisions.show("credit", 0), later=(following,))
            monkeypatch.setattr(sharding, "shard_after", lambda _: following.key)
            body = ledger.evidence.make(ledger.decisions.show("credit", 0), later=(following,)).body
    refuse(body, policy, "goes on as", cf.ProofError)


def test_the_policy_that_the_hand_over_names_has_to_be_there(years):
    """The older one that judged the decision does not stand in for it; nor does no policy."""
    body = years.of_2026.body
    stated = [one for one in body["statements"] if one["role"] == "policy"]
    assert len(stated) == 2
    for kept in ([], stated[:1]):
        rest = [one for one in body["statements"] if one["role"] != "policy"]
        changed = {**body, "statements": [*rest, *kept]}
        refuse(changed, years.policies[2], "is not in the file", cf.PolicyError)
    changed = {**body, "statements": [*rest, stated[1]]}
    refuse(changed, years.policies[2], "not at hand", cf.PolicyError)


@pytest.fixture
def ended(tmp_path, monkeypatch):
    """Ends a log with two policies by a hand-over that names another one than it should."""

    def make(naming, *foreign):
        old, new = tmp_path / "old", tmp_path / "new"
        with cf.init(old) as ledger:
            ledger.models.add(say_no, name="credit").decide([[1]])
            ledger.policy.enforce()
            for said in map(policy_statement, foreign):
                ledger.attest(said.subjects, "policy", dict(said.predicate))
        with monkeypatch.context() as forging:
            forging.setattr(sharding, "_policy_at_end", naming)
            return old, shard(old, new)

    return make


def test_an_older_policy_is_not_the_last_one(ended):
    """A hand-over that names a policy which another one replaced contradicts its own log."""
    old, new = ended(lambda log: log.policy.history().steps[0][1].digest.hex())
    with cf.open(old) as ledger, cf.open(new) as following:
        evidence = ledger.evidence.make(ledger.decisions.show("credit", 0), later=(following,))
        stated = ledger.find(predicate="policy")[-1].index
        later = {key: one for key, one in part(ledger, stated, "policy").items() if key != "log"}
        policy = following.policy.show()
    refuse(with_more(evidence.body, later), policy, "a later one is in the file", cf.PolicyError)


def test_the_policy_is_of_the_log_that_ended(ended, tmp_path):
    """One of another log, stated in this one and named by its hand-over, judges nothing here."""
    with cf.init(tmp_path / "lax") as lax:
        foreign = lax.policy.show()
    old, new = ended(lambda _: foreign.digest.hex(), foreign)
    with cf.open(old) as ledger, cf.open(new) as following:
        evidence = ledger.evidence.make(ledger.decisions.show("credit", 0), later=(following,))
        policy = following.policy.show()
    refuse(evidence.body, policy, "is of another log", cf.PolicyError)


def test_hand_overs_as_they_were_first_written_are_read(ended):
    """The log has ended and receipts are carried; evidence says which log to ask, and why."""
    old, new = ended(lambda _: None)
    with cf.open(old) as ledger, cf.open(new) as following:
        assert shard_after(ledger) == following.key
        decision = ledger.decisions.show("credit", 0)
        with pytest.raises(cf.ConflictError, match=f"{ledger.origin} ended without a word"):
            ledger.evidence.make(decision, later=(following,))
        assert cf.verify(decision.evidence(), trust=ledger.policy.show()).trusted
        # Evidence that does not need it reaches across all the same, and no farther.
        here = following.models.add(say_yes, name="other").decide([[1]])[0]
        made = following.evidence.make(here, earlier=(ledger,))
        assert cf.verify(made, trust=following.policy.show()).trusted
        model = ledger.find(predicate="model")[0].index
        changed = with_more(made.body, part(ledger, model, "model"))
        match = "does not say which trust policy"
        refuse(changed, following.policy.show(), match, cf.PolicyError)


def test_the_newest_log_is_witnessed_as_the_policy_asks(ended):
    """Where the ties lie at its beginning, too: one that too few cosigned is not enough."""
    old, new = ended(sharding._policy_at_end)
    with cf.open(old) as ledger, cf.open(new) as following:
        policy = replace(following.policy.show(), quorum=1)
        here = following.models.add(say_yes, name="other").decide([[1]])[0]
        body = following.evidence.make(here, earlier=(ledger,)).body
        before = ledger.evidence.make(ledger.decisions.show("credit", 0), later=(following,)).body
    for made in (body, before):
        assert cf.verify(format_json(made), trust=policy).trusted
        links = copy.deepcopy(made["shards"])
        *lines, cosigned, _ = links[0]["takeover"]["receipt"].split("\n")
        assert cosigned.startswith("— witness.local ")
        links[0]["takeover"]["receipt"] = "\n".join([*lines, ""])
        refuse({**made, "shards": links}, policy, "witness", cf.PolicyError)


def test_logs_that_do_not_follow_each_other_make_no_evidence(tmp_path):
    """In the wrong order, or with one left out, nothing is written."""
    a, b = tmp_path / "a", tmp_path / "b"
    with cf.init(a) as ledger:
        ledger.append(b"x")
    shard(a, b)
    with cf.open(a) as one, cf.init(tmp_path / "c") as other:
        made = other.models.add(say_no, name="credit").decide([[1]])[0]
        for names in ({"earlier": (one,)}, {"later": (one,)}):
            with pytest.raises(cf.ConflictError, match="is not the shard after"):
                other.evidence.make(made, **names)
