"""A ledger that is stamped: what is kept and stated, what evidence carries, what it is worth."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import authorities
import jsonschema
import pytest
from authorities import DAY_S

import counterfoil as cf
from counterfoil.core.authority import Authority
from counterfoil.core.canonical import format_json
from counterfoil.core.instant import format_instant, parse_instant
from counterfoil.core.policy import format_policy, parse_policy, policy_from_json, policy_to_json
from counterfoil.core.predicates import PREDICATES
from counterfoil.core.quorum import Witness
from counterfoil.core.receipt import format_receipt
from counterfoil.core.text import format_base64
from counterfoil.errors import (
    CounterfoilError,
    PolicyError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger import stamping
from counterfoil.ledger.stamping import stamp_log
from counterfoil.ledger.stamps import kept_stamps, read_stamp

GOLDEN = Path(__file__).parents[1] / "golden" / "stamped"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
SCHEMA = json.loads((REFERENCE / "evidence.schema.json").read_bytes())
POLICY_SCHEMA = json.loads((REFERENCE / "trust-policy.schema.json").read_bytes())


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def batch(ledger):
    """Decisions in the log, not yet stamped."""
    return ledger.models.add(answer, name="model").decide([[1], [2]])


@pytest.fixture
def verify(policy, clock):
    """Verifies evidence at the clock's time."""

    def verify(body, trust=policy, **more):
        return cf.verify(format_json(body), trust=trust, **({"now": clock()} | more))

    return verify


def body_of(batch):
    return json.loads(json.dumps(batch[1].evidence().body))


def test_evidence_without_a_stamp_says_that_no_time_is_checked(batch, verify):
    """The policy names an authority, and the file carries nothing of it."""
    body = body_of(batch)
    assert body["counterfoil"] == "evidence/v1"
    verdict = verify(body)
    assert verdict.grades == ("self-witnessed",)
    assert "Any time: this file carries no time-stamp." in verdict.not_checked


def test_evidence_carries_the_stamp_that_covers_it(ledger, batch, verify, tmp_path):
    """Stamped, it existed by then, says the authority; a page and a newer log change nothing."""
    (made,) = stamp_log(ledger).made
    batch[0].evidence()  # the same with more entries after it
    body = body_of(batch)
    assert body["counterfoil"] == "evidence/v3"
    jsonschema.validate(body, SCHEMA)
    verdict = verify(body)
    assert verdict.grades == ("time-stamped",)
    assert verdict.grade == "time-stamped"
    when = format_instant(made.stamp.time)
    (said,) = (one for one in verdict.proved if f"existed by {when}" in one)
    assert "says notary (Notary Ltd)" in said
    assert any(one.startswith("Notary Ltd, about that time") for one in verdict.trust)
    assert any("Northbank, that you were shown the same log" in one for one in verdict.trust)
    assert not any("about every time" in one for one in verdict.trust)
    assert any("revoked" in one for one in verdict.not_checked)
    path = batch[1].evidence().save(tmp_path / "letter.html")
    assert cf.verify(path, trust=ledger.policy.show()).grade == "time-stamped"
    assert "time-stamped. An authority" in str(verdict)


def test_stamping_again_asks_only_if_there_is_something_new(ledger, tsa):
    """Its own statements are nothing new, or there would be no end to it."""
    assert len(stamp_log(ledger).made) == 1
    assert stamp_log(ledger).made == ()
    assert tsa.asked == 1
    ledger.data.add([{"a": 1}], name="rows")
    (made,) = stamp_log(ledger).made
    assert (tsa.asked, made.size) == (2, made.index)
    (found,) = ledger.find(predicate="timestamp", last=1)
    schema = Path(cf.__file__).parent / "core" / PREDICATES["timestamp"].schema
    jsonschema.validate(found.statement.predicate, json.loads(schema.read_bytes()))


def test_a_stamp_that_was_kept_and_not_stated_is_stated_next_time(ledger, tsa, monkeypatch):
    """A crash between the file and the statement loses nothing, and asks nobody twice."""

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(stamping, "_state", crash)
        with pytest.raises(KeyboardInterrupt):
            stamp_log(ledger)
    assert not ledger.find(predicate="timestamp")
    (made,) = stamp_log(ledger).made
    assert tsa.asked == 1
    (kept,) = kept_stamps(ledger, "notary")
    (found,) = ledger.find(predicate="timestamp", subject=kept.digest)
    assert found.index == made.index


def test_a_silent_authority_keeps_no_other_from_stamping(ledger, batch, named, verify):
    """One of two answers: the run succeeds, and says who is lacking."""
    second = authorities.Authority("Second")
    with authorities.serve(second) as url:
        policy = ledger.policy.show()
        ledger.policy.adopt(
            policy.followed_by(
                authorities=(
                    replace(named, url="http://127.0.0.1:9"),
                    Authority("second", "Second Ltd", second.pem, url),
                )
            )
        )
        found = stamp_log(ledger)
        assert [one.authority for one in found.made] == ["second"]
        assert list(found.lacking) == ["notary"]
        verdict = verify(body_of(batch), ledger.policy.show())
    assert any("says second (Second Ltd)" in one for one in verdict.proved)
    ledger.data.add([{"a": 1}], name="rows")
    with pytest.raises(UnavailableError, match="no authority"):
        stamp_log(ledger)


def test_two_authorities_are_two_words(ledger, batch, named, verify):
    """Each is carried, and each is checked by its own root."""
    second = authorities.Authority("Second")
    with authorities.serve(second) as url:
        other = Authority("second", "Second Ltd", second.pem, url)
        ledger.policy.adopt(ledger.policy.show().followed_by(authorities=(named, other)))
        stamp_log(ledger)
    body = body_of(batch)
    assert [one["authority"] for one in body["stamps"]] == ["notary", "second"]
    verdict = verify(body, ledger.policy.show())
    assert sum("existed by" in one for one in verdict.proved) == 2
    body["stamps"][1]["authority"] = "notary"
    with pytest.raises(CounterfoilError):
        verify(body, ledger.policy.show())


def test_an_authority_of_the_operator_lifts_nothing(ledger, batch, verify, with_authority):
    """Whoever runs both can write any time."""
    stamp_log(ledger)
    verdict = verify(body_of(batch), with_authority(operator="NORTHBANK"))
    assert verdict.grades == ("self-witnessed",)
    assert any("its own authority" in one for one in verdict.not_checked)


def test_a_policy_without_the_authority_counts_nothing(ledger, batch, verify, monkeypatch):
    """A stamp in the file is nobody's word for who did not choose the authority."""
    stamp_log(ledger)
    body = body_of(batch)
    verdict = verify(body, replace(ledger.policy.show(), authorities=()))
    assert verdict.grades == ("self-witnessed",)
    assert any("names no such authority" in one for one in verdict.not_checked)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(ledger.folder / "of a stranger"))
    untrusted = verify(body, None)
    assert not untrusted.trusted
    assert any("no trust policy says whose certificates" in one for one in untrusted.not_checked)


def test_a_false_stamp_refuses_the_file(ledger, batch, verify, with_authority):
    """Another root, another checkpoint, another time: what does not hold is not passed over."""
    stamp_log(ledger)
    body = body_of(batch)
    with pytest.raises(VerificationError):
        verify(body, with_authority(root=authorities.Authority().pem))
    with pytest.raises(PolicyError, match="under its policy"):
        verify(body, with_authority(policies=("1.2.3",)))
    other = json.loads(json.dumps(body))
    other["stamps"][0]["note"] = ledger.checkpoint.decode()
    other["stamps"][0]["consistency"] = []
    with pytest.raises(VerificationError, match=r"Mismatch|consistency"):
        verify(other)
    with pytest.raises(VerificationError, match="still to come"):
        verify(body, now=0)


def test_what_comes_after_the_stamp_is_not_stamped(ledger, batch, verify):
    """A stamp that does not cover the decision lifts nothing, whoever puts it beside it."""
    stamp_log(ledger)
    old = body_of(batch)["stamps"][0]
    later = ledger.models.load("model", predictor=answer).decide([[3]])
    body = json.loads(json.dumps(later[0].evidence().body))
    assert body["counterfoil"] == "evidence/v1"
    size = kept_stamps(ledger, "notary")[0].size
    old["consistency"] = [format_base64(one) for one in ledger.consistency(size)]
    verdict = verify(body | {"counterfoil": "evidence/v3", "stamps": [old]})
    assert verdict.grades == ("self-witnessed",)


def test_witnessed_and_time_stamped_are_two_things(ledger, batch, verify, policy):
    """A verdict lists every grade it reaches."""
    stamp_log(ledger)
    body = body_of(batch)
    (local,) = policy.witnesses
    outside = replace(policy, witnesses=(Witness("local", local.key, "Auditor LLP"),))
    verdict = verify(body, outside)
    assert verdict.grades == ("witnessed", "time-stamped")
    assert verdict.as_dict()["grades"] == ["witnessed", "time-stamped"]
    assert not any("Northbank, that you were shown" in one for one in verdict.trust)


def test_a_stamp_ends_with_its_certificate(ledger, batch, verify, tsa):
    """After that, nobody answers for its key: the verdict says what was not checked."""
    stamp_log(ledger)
    body = body_of(batch)
    assert verify(body, now=tsa.ends - 1).grade == "time-stamped"
    verdict = verify(body, now=tsa.ends + 1)
    assert verdict.grade == "self-witnessed"
    (said,) = (one for one in verdict.not_checked if "certificates ended" in one)
    assert "nothing that renews it" in said


def test_a_later_stamp_renews_an_earlier_one(ledger, batch, verify, clock, tsa):
    """Made while the first was good, it makes the first good for as long as itself."""
    first = stamp_log(ledger).made[0].stamp
    clock.ahead_s = 300 * DAY_S
    tsa.renew(ends=clock() + 365 * DAY_S)
    assert [one.size for one in stamp_log(ledger, renew=True).made] != []
    clock.ahead_s = 400 * DAY_S
    body = body_of(batch)
    jsonschema.validate(body, SCHEMA)
    (chain,) = body["stamps"]
    assert len(chain["renewals"]) == 1
    verdict = verify(body)
    assert verdict.grade == "time-stamped"
    assert any(f"existed by {format_instant(first.time)}" in one for one in verdict.proved)
    assert any("renewed once" in one for one in verdict.proved)
    chain["renewals"] = []
    assert verify(body).grade == "self-witnessed"


def test_a_renewal_that_came_too_late_renews_nothing(ledger, batch, verify, clock, tsa):
    """Whoever stole the key after its certificate's end can make any first stamp; no second."""
    stamp_log(ledger)
    clock.ahead_s = 400 * DAY_S
    tsa.renew(ends=clock() + 365 * DAY_S)
    stamp_log(ledger, renew=True)
    body = body_of(batch)
    (chain,) = body["stamps"]
    assert chain["renewals"] == []
    assert verify(body).grade == "self-witnessed"
    # Put together all the same, as a forger would.
    (first, second) = kept_stamps(ledger, "notary")
    (said,) = ledger.find(predicate="timestamp", subject=first.digest)
    late = read_stamp(ledger, "notary", second)
    chain["renewals"] = [
        {
            "entry": format_base64(ledger.entry(said.index)),
            "receipt": format_receipt(ledger.receipt_under(said.index, late.note)).decode(),
            "response": format_base64(late.response),
        }
    ]
    with pytest.raises(VerificationError, match="was renewed at"):
        verify(body)
    chain["renewals"][0]["entry"] = format_base64(ledger.entry(0))
    with pytest.raises(VerificationError, match="does not name it"):
        verify(body)


def test_a_renewal_names_the_very_stamp_that_it_renews(ledger, batch, verify, clock, tsa):
    """Whatever else the log states about time-stamps, renews others."""
    for number in range(3):
        clock.ahead_s = number * 100 * DAY_S
        tsa.renew(ends=clock() + 365 * DAY_S)
        ledger.data.add([{"a": number}], name="rows")
        stamp_log(ledger)
    body = body_of(batch)
    (chain,) = body["stamps"]
    assert verify(body).grade == "time-stamped"
    newest = read_stamp(ledger, "notary", kept_stamps(ledger, "notary")[-1])
    said = ledger.find(predicate="timestamp")[1].index
    chain["renewals"][0]["entry"] = format_base64(ledger.entry(said))
    chain["renewals"][0]["receipt"] = format_receipt(
        ledger.receipt_under(said, newest.note)
    ).decode()
    with pytest.raises(VerificationError, match="does not name it"):
        verify(body)


def test_renewing_with_the_same_certificate_is_not_kept(ledger, clock):
    """A stamp that ends no later renews nothing; that is said, and what stands is no failure."""
    (made,) = stamp_log(ledger).made
    clock.ahead_s = 300 * DAY_S
    found = stamp_log(ledger, renew=True)
    assert found.made == ()
    assert "renews nothing" in found.lacking["notary"]
    assert f"that of {made.size} entries stands" in found.lacking["notary"]
    assert len(kept_stamps(ledger, "notary")) == 1
    assert stamp_log(ledger).made == ()


def test_renewals_go_on_for_decades(ledger, batch, verify, clock, tsa):
    """Ten years of yearly certificates: evidence made at the end shows the first day."""
    first = stamp_log(ledger).made[0].stamp
    for year in range(1, 10):
        clock.ahead_s = year * 300 * DAY_S
        tsa.renew(ends=clock() + 365 * DAY_S)
        ledger.data.add([{"year": year}], name=f"year-{year}")
        stamp_log(ledger)
    body = body_of(batch)
    assert 5 <= len(body["stamps"][0]["renewals"]) <= 9
    verdict = verify(body)
    assert verdict.grade == "time-stamped"
    assert any(f"existed by {format_instant(first.time)}" in one for one in verdict.proved)


def test_without_the_library_stamps_are_carried_and_not_counted(ledger, batch, verify, monkeypatch):
    """Evidence is made and verified as ever; what was not checked is said."""
    stamp_log(ledger)
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    verdict = verify(body_of(batch))
    assert verdict.grade == "self-witnessed"
    assert any("counterfoil[timestamps]" in one for one in verdict.not_checked)
    with pytest.raises(UnavailableError, match="rfc3161_client"):
        stamp_log(ledger)


def test_a_policy_with_an_authority_survives_its_file(policy):
    """As TOML with certificates that people can compare, and as the JSON that digests cover."""
    assert parse_policy(format_policy(policy)) == policy
    assert policy_from_json(policy_to_json(policy)) == policy
    jsonschema.validate(policy_to_json(policy), POLICY_SCHEMA)
    assert "\n-----BEGIN CERTIFICATE-----\n" in format_policy(policy)
    (one,) = policy.authorities
    loose = replace(one, root=f"\n{one.root}\n\n")
    assert replace(policy, authorities=(loose,)).digest == policy.digest


def test_a_ledger_without_an_authority_says_how_to_get_one(tmp_path):
    """Nothing to ask."""
    with cf.init(tmp_path / "other") as other, pytest.raises(PolicyError, match="no time-stamping"):
        stamp_log(other)


def test_stamped_evidence_of_version_3_verifies_for_ever():
    """A file that was made with the first version that stamps, judged in another year."""
    body = json.loads((GOLDEN / "renewed.json").read_bytes())
    jsonschema.validate(body, SCHEMA)
    now = parse_instant("2028-01-01T00:00:00Z", "now")
    verdict = cf.verify(GOLDEN / "renewed.json", trust=GOLDEN / "trust.toml", now=now)
    assert verdict.grades == ("time-stamped",)
    assert any("renewed once" in one for one in verdict.proved)
    later = cf.verify(GOLDEN / "renewed.json", trust=GOLDEN / "trust.toml", now=now + 365 * DAY_S)
    assert later.grades == ("self-witnessed",)


def test_a_stamp_of_the_newest_shard_covers_what_ended_before(
    ledger, batch, verify, tmp_path, clock
):
    """Its beginning names their ends: a stamp of any size of it says by when they were so."""
    assert len(batch) == 2
    authorities = ledger.policy.show().authorities
    ledger.close()
    with cf.open(ledger.folder, clock=clock) as old:
        old.shard(tmp_path / "next", despite_records=True).close()
    with cf.open(ledger.folder) as old, cf.open(tmp_path / "next", clock=clock) as new:
        new.policy.adopt(new.policy.show().followed_by(authorities=authorities))
        (made,) = stamp_log(new).made
        new.append(b"more")
        evidence = old.evidence.make(old.decisions.show("model", 1), later=(new,))
        newest = new.policy.show()
    body = json.loads(json.dumps(evidence.body))
    jsonschema.validate(body, SCHEMA)
    verdict = verify(body, trust=newest)
    assert verdict.grades == ("time-stamped",)
    assert any(f"existed by {format_instant(made.stamp.time)}" in one for one in verdict.proved)
    del body["stamps"]
    assert verify(body, trust=newest).grades == ("self-witnessed",)
    body["stamps"] = []
    with pytest.raises(cf.FormatError, match="`stamps`"):
        verify(body, trust=newest)
