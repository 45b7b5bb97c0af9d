from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.instant import parse_instant
from counterfoil.core.judgement import evaluate_data, evaluate_stage
from counterfoil.core.requirements import Mode, Requirement
from counterfoil.core.statement import Subject
from counterfoil.errors import RefusedError

NOW = parse_instant("2026-11-22T00:00:00Z", "now")
GOOD = {"metrics": {"auc": "0.79"}}
DATA = {"purposes": ["credit-scoring"], "personal": False}


def stage_of(bank, *envelopes, policy=None, **options):
    policy = policy or bank.policy()
    options = {"stage": "production", "model_format": "skops", "now": NOW, **options}
    stage = options.pop("stage")
    subject = options.pop("subject", bank.model())
    found = bank.hear(*envelopes, policy=policy)
    return evaluate_stage(policy, stage, subject, found, **options)


def cleared(bank, *envelopes, policy=None, purpose="credit-scoring"):
    policy = policy or bank.policy()
    found = bank.hear(*envelopes, policy=policy)
    return evaluate_data(policy, purpose, bank.model("applicants"), found, now=NOW)


def complete(bank):
    return [
        bank.says("validation", "evaluation", GOOD),
        bank.says("risk-a", "approval", {"note": "a"}),
        bank.says("risk-c", "approval", {"note": "c"}),
    ]


def test_a_model_with_everything_is_let_in(bank):
    """An evaluation in bounds and two approvals open production, and the grounds say who."""
    judgement = stage_of(bank, *complete(bank))
    assert judgement.reasons == ()
    assert [str(ground) for ground in judgement.grounds] == [
        "evaluation by validation at index 0",
        "approval by risk-a at index 1",
        "approval by risk-c at index 2",
    ]
    assert judgement.check() is judgement


def test_every_reason_is_told(bank):
    """A refusal names the wrong format and each missing statement at once, not one by one."""
    judgement = stage_of(bank, bank.says("risk-a", "approval", {}), model_format="pickle")
    assert judgement.reasons == (
        "format 'pickle' is not allowed here, only skops",
        "evaluation needs 1 of validation; what counts is by nobody",
        "approval needs 2 of risk-a, risk-b, risk-c; what counts is by risk-a",
    )
    with pytest.raises(RefusedError) as caught:
        judgement.check()
    assert caught.value.reasons == judgement.reasons


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.WARN])
def test_other_modes_find_the_same_and_refuse_nothing(bank, mode):
    """Observe and warn come to the same reasons as enforce, and let through."""
    policy = bank.policy()
    lenient = replace(policy, stages=(replace(policy.stages[0], mode=mode),))
    judgement = stage_of(bank, policy=lenient)
    assert judgement.reasons == stage_of(bank).reasons
    assert judgement.check().mode is mode


def test_one_envelope_may_carry_several_voices(bank):
    """Principals may sign one statement together, or each the same one in their own envelope."""
    evaluation, *_ = complete(bank)
    assert not stage_of(bank, evaluation, bank.says("risk-a risk-b", "approval", {})).reasons
    apart = [bank.says("risk-a", "approval", {}), bank.says("risk-b", "approval", {})]
    assert not stage_of(bank, evaluation, *apart).reasons


def test_one_principal_is_one_voice(bank):
    """However often one principal approves, it is one approval."""
    evaluation, *_ = complete(bank)
    again = [bank.says("risk-a", "approval", {"n": n}) for n in range(3)]
    assert stage_of(bank, evaluation, *again).reasons[0].endswith("what counts is by risk-a")


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"auc": "0.7499999999999999999999"}, "must be at least 0.75"),
        ({"auc": "0.75"}, None),
        ({"auc": "0.7500000000000000000001"}, None),
        ({"auc": 1}, None),
        ({"auc": 0}, "auc is 0, must be at least 0.75"),
        ({"auc": True}, "states no auc"),
        ({"auc": None}, "states no auc"),
        ({"auc": "NaN"}, "not a decimal"),
        ({"auc": "Infinity"}, "not a decimal"),
        ({"auc": "9e9"}, "not a decimal"),
        ({"auc": " 0.8"}, "not a decimal"),
        ({"auc": "-0.8"}, "must be at least"),
        ({"auc": "1" * 41}, "not a decimal"),
        ({"AUC": "0.8"}, "states no auc"),
        ({}, "states no auc"),
        (["auc"], "states no auc"),
    ],
)
def test_bounds_are_exact_decimals(bank, metrics, reason):
    """A bound is compared digit by digit, and whatever is no plain number does not meet it."""
    _, *approvals = complete(bank)
    evaluation = bank.says("validation", "evaluation", {"metrics": metrics})
    reasons = stage_of(bank, evaluation, *approvals).reasons
    assert (reason is None and reasons == ()) or any(reason in one for one in reasons)


def test_upper_bounds_hold_too(bank):
    """`at_most` refuses what is above it."""
    policy = bank.policy()
    rule = Requirement("evaluation", 1, ("validation",), (), (("error", "0.05"),))
    policy = replace(policy, stages=(replace(policy.stages[0], requirements=(rule,)),))
    for error, reasons in (("0.05", 0), ("0.051", 2)):
        said = bank.says("validation", "evaluation", {"metrics": {"error": error}})
        assert len(stage_of(bank, said, policy=policy).reasons) == reasons


def test_a_worse_evaluation_replaces_a_better_one(bank):
    """The newest word on a matter counts; the good result of before is not fished out again."""
    good, *approvals = complete(bank)
    bad = bank.says("validation", "evaluation", {"metrics": {"auc": "0.5"}})
    assert stage_of(bank, good, *approvals, bad).reasons
    assert stage_of(bank, good, *approvals, bad, good).reasons
    beside = bank.says("validation", "evaluation", {"metrics": {"drift": "0.5"}})
    assert not stage_of(bank, good, *approvals, beside).reasons


@pytest.mark.parametrize(
    ("expires", "counts"),
    [
        ("2026-11-22T00:00:01Z", True),
        ("2026-11-22T00:00:00Z", False),
        (None, True),
        ("2027-11-22", False),
        ("2027-11-22T00:00:00+00:00", False),
        (4102444800, False),
    ],
)
def test_what_expired_does_not_count(bank, expires, counts):
    """A statement counts until its `expires`; one that cannot be read never counts."""
    evaluation, first, _ = complete(bank)
    approval = bank.says("risk-b", "approval", {"expires": expires})
    reasons = stage_of(bank, evaluation, first, approval).reasons
    assert (not reasons) is counts
    assert counts or any("expire" in one for one in reasons)


def test_revocation_is_final_until_named(bank):
    """After a revocation only approvals that name it count, and evaluations stay what they were."""
    before = complete(bank)
    revocation = bank.says("risk-a", "revocation", {"reason": "drift"})
    said = [*before, revocation]
    assert stage_of(bank, *said).reasons[0].startswith("revoked at index 3; only approval anew")
    silent = [bank.says("risk-a risk-b", "approval", {"note": "again"})]
    assert stage_of(bank, *said, *silent).reasons
    wrong = [bank.says("risk-a risk-b", "approval", {"after": 2})]
    assert stage_of(bank, *said, *wrong).reasons
    named = [bank.says("risk-a risk-b", "approval", {"after": 3})]
    assert not stage_of(bank, *said, *named).reasons
    assert not stage_of(bank, *said, *named, revocation).reasons
    second = bank.says("risk-a", "revocation", {"reason": "drift again"})
    assert stage_of(bank, *said, *named, second).reasons


def test_an_approval_that_names_a_revocation_to_come_is_void(bank):
    """Nobody approves in advance: the approval stands after the revocation it names."""
    evaluation, *_ = complete(bank)
    early = bank.says("risk-a risk-b", "approval", {"after": 2})
    revocation = bank.says("risk-a", "revocation", {})
    assert stage_of(bank, evaluation, early, revocation).reasons


def test_true_is_not_one(bank):
    """`"after": true` does not name index 1."""
    evaluation, *_ = complete(bank)
    said = [evaluation, bank.says("risk-a", "revocation", {})]
    assert stage_of(bank, *said, bank.says("risk-a risk-b", "approval", {"after": True})).reasons


def test_without_approvals_nothing_lifts_a_revocation(bank):
    """Where a stage asks for no approval, a revoked model stays out."""
    policy = bank.policy()
    rules = policy.stages[0].requirements[:1]
    policy = replace(policy, stages=(replace(policy.stages[0], requirements=rules),))
    evaluation, *_ = complete(bank)
    assert not stage_of(bank, evaluation, policy=policy).reasons
    revoked = stage_of(bank, evaluation, bank.says("risk-a", "revocation", {}), policy=policy)
    assert revoked.reasons == ("revoked at index 1; nothing can lift that here",)


def test_who_may_not_revoke_revokes_nothing(bank):
    """Neither a stranger nor another department takes a model out of use."""
    evil = [
        bank.says("stranger", "revocation", {}),
        bank.says("validation", "revocation", {}),
        bank.says("marketing", "revocation", {}, bank.model("marketing-1")),
    ]
    assert not stage_of(bank, *complete(bank), *evil).reasons


def test_a_revocation_outlives_its_author_and_a_renaming(bank):
    """It stands when its author has left the policy, and hits the bytes under any other name."""
    said = bank.hear(*complete(bank), bank.says("risk-a", "revocation", {}))
    policy = bank.policy()
    later = replace(
        policy,
        principals=tuple(
            replace(one, may=one.may[:1]) if one.name == "risk-a" else one
            for one in policy.principals
        ),
    )
    judged = evaluate_stage(later, "production", bank.model(), said, model_format="skops", now=NOW)
    assert judged.reasons
    renamed = bank.says("risk-a", "revocation", {}, bank.model("credit-old-name"))
    assert stage_of(bank, *complete(bank), renamed).reasons


def test_another_name_or_digest_is_another_model(bank):
    """An approval counts for these bytes under this name and for nothing else."""
    evaluation, first, _ = complete(bank)
    other_name = bank.says("risk-b", "approval", {}, bank.model("credit-b"))
    reasons = stage_of(bank, evaluation, first, other_name).reasons
    assert any("speaks of these bytes as 'credit-b'" in one for one in reasons)
    other_bytes = bank.says("risk-b", "approval", {}, bank.model("credit", b"other"))
    assert stage_of(bank, evaluation, first, other_bytes).reasons
    contradicting = Subject("credit", {**bank.model().digest, "sha512": "00"})
    both = stage_of(
        bank,
        evaluation,
        first,
        bank.says("risk-b", "approval", {}, contradicting),
        subject=Subject("credit", {**bank.model().digest, "sha512": "11"}),
    )
    assert both.reasons


def test_an_approval_for_another_stage_does_not_count(bank):
    """`stage` in a statement keeps it to that stage, without replacing what was said for others."""
    evaluation, first, _ = complete(bank)
    staging = bank.says("risk-b", "approval", {"stage": "staging"})
    reasons = stage_of(bank, evaluation, first, staging).reasons
    assert any("it is for stage 'staging'" in one for one in reasons)
    production = bank.says("risk-b", "approval", {"stage": "production"})
    assert not stage_of(bank, evaluation, first, production, staging).reasons


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"decision": "reject"}, "its `decision` is 'reject', not 'approve'"),
        ({"decision": None}, "its `decision` is 'None', not 'approve'"),
        ({"decision": ["approve"]}, "not 'approve'"),
        ({"stage": None}, "it names no stage"),
    ],
)
def test_only_a_yes_is_a_yes(bank, body, reason):
    """A rejection under the name of an approval never counts, and takes back an earlier yes."""
    approvals = [bank.says("risk-a", "approval", {}), bank.says("risk-a", "approval", body)]
    evaluation, _, other = complete(bank)
    judgement = stage_of(bank, evaluation, other, *approvals)
    assert [ground.principal for ground in judgement.grounds] == ["validation", "risk-c"]
    assert any(reason in one for one in judgement.reasons)


def test_old_words_said_again_revive_nothing(bank):
    """An envelope put into the log a second time counts where it first stood."""
    evaluation, first, second = complete(bank)
    revocation = bank.says("risk-a", "revocation", {})
    assert stage_of(bank, evaluation, first, second, revocation, first, second).reasons
    newer = bank.says("risk-c", "approval", {"expires": "2026-01-01T00:00:00Z"})
    assert stage_of(bank, evaluation, first, second, newer, second).reasons


def test_a_right_gained_later_does_not_reach_back(bank):
    """What somebody signed without the right stays void when they get it, copied again or not."""
    envelope = bank.says("validation", "approval", {})
    policy = bank.policy()
    promoted = bank.principal("validation", "evaluation *", "approval *")
    later = replace(
        policy,
        principals=tuple(
            promoted if one.name == "validation" else one for one in policy.principals
        ),
        stages=(
            replace(policy.stages[0], requirements=(Requirement("approval", 1, ("validation",)),)),
        ),
    )
    old = bank.hear(envelope)
    new = [replace(bank.hear(envelope, policy=later)[0], index=5)]
    options = {"model_format": "skops", "now": NOW}
    assert not evaluate_stage(later, "production", bank.model(), new, **options).reasons
    assert evaluate_stage(later, "production", bank.model(), [*new, *old], **options).reasons


def test_what_did_not_count_is_explained(bank):
    """A refusal says of each statement on the matter why it was not enough."""
    reasons = stage_of(
        bank,
        bank.says("stranger", "approval", {}),
        bank.says("marketing", "approval", {}),
        bank.says("validation", "evaluation", GOOD),
    ).reasons
    assert any("approval at index 0 does not count: no trusted key" in one for one in reasons)
    assert any("marketing has signed and may not say this" in one for one in reasons)
    policy = bank.policy()
    rules = (Requirement("approval", 1, ("risk-c",)),)
    policy = replace(policy, stages=(replace(policy.stages[0], requirements=rules),))
    reasons = stage_of(bank, bank.says("risk-a", "approval", {}), policy=policy).reasons
    assert "approval at index 0 does not count: risk-a is not asked for it" in reasons


def test_defaults_are_closed(bank):
    """No requirement, no format, no such stage, no rules for data: each refuses."""
    policy = bank.policy()
    empty = replace(policy, stages=(replace(policy.stages[0], requirements=()),))
    assert stage_of(bank, policy=empty).reasons == (
        "the policy requires nothing here, and so lets nothing in",
    )
    formats = replace(policy, stages=(replace(policy.stages[0], formats=()),))
    assert stage_of(bank, *complete(bank), policy=formats).reasons == (
        "format 'skops' is not allowed here, none at all",
    )
    for judgement in (
        stage_of(bank, *complete(bank), stage="elsewhere"),
        cleared(bank, policy=replace(policy, data=None)),
    ):
        with pytest.raises(RefusedError):
            judgement.check()


def test_an_expired_policy_passes_nothing(bank):
    """From its last moment on, a policy is a reason against."""
    at = parse_instant(bank.policy().expires, "expires")
    assert not stage_of(bank, *complete(bank), now=at - 1).reasons
    assert stage_of(bank, *complete(bank), now=at).reasons == (
        "the trust policy expired at 2030-01-01T00:00:00Z",
    )


def described(bank, body, names="data-office"):
    return bank.says(names, "dataset", body, bank.model("applicants"))


def test_described_data_are_cleared_for_their_purpose(bank):
    """Data that are about nobody are cleared for a purpose that policy and description list."""
    assert not cleared(bank, described(bank, DATA)).reasons
    reasons = cleared(bank, described(bank, DATA), purpose="marketing").reasons
    assert "the policy allows no use of data for 'marketing'" in reasons
    assert any("does not list the purpose 'marketing'" in one for one in reasons)


def test_a_narrower_description_replaces_a_wider_one(bank):
    """When the data office takes a purpose back, it is gone."""
    wide, narrow = described(bank, DATA), described(bank, {**DATA, "purposes": []})
    assert cleared(bank, wide, narrow).reasons
    assert not cleared(bank, narrow, wide).reasons


@pytest.mark.parametrize("personal", [True, None, "false", 0, "absent"])
def test_personal_data_need_consent(bank, personal):
    """Data count as personal unless said otherwise in so many words, and then consent is needed."""
    body = {**DATA, "personal": personal}
    if personal == "absent":
        del body["personal"]
    data = described(bank, body)
    assert cleared(bank, data).reasons
    consent = bank.says(
        "data-office", "consent", {"purposes": ["credit-scoring"]}, bank.model("applicants")
    )
    assert not cleared(bank, data, consent).reasons
    other = bank.says("data-office", "consent", {"purposes": ["x"]}, bank.model("applicants"))
    assert cleared(bank, data, consent, other).reasons


def test_data_that_nobody_describes_count_as_personal(bank):
    """Where no description is asked for, consent is."""
    policy = bank.policy()
    check = Requirement("evaluation", 1, ("validation",))
    policy = replace(policy, data=replace(policy.data, requirements=(check,)))
    checked = bank.says("validation", "evaluation", {}, bank.model("applicants"))
    reasons = cleared(bank, described(bank, DATA), checked, policy=policy).reasons
    assert [one.split(" ")[0] for one in reasons] == ["consent"]


def test_a_policy_may_name_nobody_for_consent_or_ask_for_none(bank):
    """With nobody to consent, personal data are refused; a policy may do without consent."""
    policy, data = bank.policy(), described(bank, {**DATA, "personal": True})
    nobody = replace(policy, data=replace(policy.data, consent_from=()))
    assert cleared(bank, data, policy=nobody).reasons == (
        "this is personal data and the policy accepts nobody's consent",
    )
    without = replace(policy, data=replace(policy.data, consent_when_personal=False))
    assert not cleared(bank, data, policy=without).reasons


def test_revoked_data_need_everything_anew(bank):
    """After a revocation, description and consent count only if they name it."""
    data = described(bank, DATA)
    revocation = bank.says("data-office", "revocation", {}, bank.model("applicants"))
    assert cleared(bank, data, revocation).reasons[0].startswith("revoked at index 1")
    anew = described(bank, {**DATA, "after": 1})
    assert not cleared(bank, data, revocation, anew).reasons
