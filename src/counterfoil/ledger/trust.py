"""The trust policy of a ledger: adopted outside its folder, shown inside it.

    home()/trust/<slug>.toml    the policy this user adopted; gates and `verify` go by it
    <ledger>/trust.toml         a copy to read, hand out and edit; it counts once adopted

Both end in a comment, `# digest: …`, by which a file that was damaged since is told.

Changing the copy changes nothing: whoever can write in the ledger's folder is not thereby the one
who decides what is trusted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from counterfoil.core.arguments import require, require_each
from counterfoil.core.envelope import Envelope, parse_envelope, sign_envelope
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.requirements import Mode, Stage
from counterfoil.core.retention import DEFAULT_RETENTION, RetentionRule
from counterfoil.core.statement import format_statement, parse_statement
from counterfoil.core.succession import (
    POLICY,
    PolicyHistory,
    check_successor,
    follow,
    policy_history,
    policy_statement,
)
from counterfoil.core.suggest import SAFE_FORMATS, Observed, suggest_policy
from counterfoil.core.testimony import check_attestation, hear, short_predicate, stated_types
from counterfoil.errors import ConflictError, FormatError, UnavailableError
from counterfoil.ledger.countersign import UnpublishedError
from counterfoil.ledger.disk import reported
from counterfoil.ledger.log import PRINCIPALS, Log
from counterfoil.ledger.policyfile import format_adopted, keep_policy, read_policy
from counterfoil.ledger.reading import Found
from counterfoil.ledger.sequencer import nothing_appended

# The same few for each decision of a process: to judge them anew would be most of what one costs.
_policy_history = lru_cache(maxsize=16)(policy_history)
PRODUCTION = "production"
_POLICY = "`counterfoil.ledger.parse_policy` reads one from the text of a file."


class Trust:
    """The policy of one ledger.

    Args:
        log: Where adopted policies are stated.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def show(self) -> TrustPolicy:
        """Give the adopted policy.

        Raises:
            FormatError: none was adopted on this machine, or its file is no policy.
            VerificationError: its file is not what was adopted.
        """
        path = self._log.places.trust
        if not path.exists():
            raise FormatError(
                f"no trust policy was adopted for {self._log.origin}",
                hint=f"Get one from somebody you trust and put it at {path}.",
            )
        return read_policy(path)

    def require_stage(self, stage: str) -> TrustPolicy:
        """Give the adopted policy, if it knows this stage.

        Raises:
            FormatError: it does not, or as `show`.
        """
        policy = self.show()
        if stage not in {one.name for one in policy.stages}:
            raise FormatError(
                f"the policy knows no stage {stage!r}",
                hint=f"It knows {', '.join(one.name for one in policy.stages) or 'none'}.",
            )
        return policy

    def adopt(self, policy: TrustPolicy, *, by: tuple[str, ...] = ("operator",)) -> int:
        """State a policy in the log and go by it from now on.

        What is stated, and what `show` gives, is the policy with its predecessors written in, so
        its digest is another than the draft's. Adopted again, it is stated once.

        Args:
            policy: The first one, or one that follows the newest of the log.
            by: Local principals who sign it: enough for the old policy and for the new one.

        Returns:
            Index of its statement.

        Raises:
            ConflictError: the log holds another policy of that version, which is not adopted here.
            FormatError: it does not follow that policy.
            PolicyError: too few of those who may replace a policy have signed.
            UnpublishedError: its statement is durable, and lacks the quorum; adopt it again.
            UnavailableError: as `Log.append`; adopt it again.
        """
        require(policy, TrustPolicy, "a trust policy", _POLICY)
        if not self._log.places.trust.exists():
            with self._log.engine.witnesses.under(policy):
                index = self._log.append_envelope(self._sign(policy, by)).index
            self._keep(policy)
            return index
        stated, published = self._stand(policy, by)
        if published is None:
            # The witnesses of the new policy are asked: those of the old may be gone for good.
            with self._log.engine.witnesses.under(policy):
                stated, published = self._publish(policy, by)
        # If we stop before this, the log knows a policy that nobody here goes by yet.
        if stated != self.show():
            self._keep(stated)
        return published

    def require_successor(self, policy: TrustPolicy, *, by: tuple[str, ...]) -> None:
        """Check that `adopt` would take a policy, with nothing written.

        Raises:
            As `adopt`.
        """
        self._stand(require(policy, TrustPolicy, "a trust policy", _POLICY), by)

    def unadopted(self, *, shared: bool = False) -> tuple[int, TrustPolicy] | None:
        """Find the newest policy that the log shows to follow the adopted one, and its entry.

        One that waits for witnesses counts, where it is seen.

        Args:
            shared: Whether an index in the log's database will do, as in `Log.find`.
        """
        index, newest = self.history(waiting=True, shared=shared).steps[-1]
        return None if newest is None or newest == self.show() else (index, newest)

    def _publish(self, draft: TrustPolicy, by: tuple[str, ...]) -> tuple[TrustPolicy, int]:
        """State a draft, unless it is stated, and have it published; give it as it stands, where.

        Raises:
            As `adopt`.
        """
        try:
            # What waits comes first: not everywhere is seen before whether a policy is in it.
            self._log.append_many(())
            stated, published = self._stand(draft, by)
            if published is None:
                published = self._log.append_envelope(self._sign(stated, by)).index
        except UnpublishedError as error:
            later = self.unadopted()
            if later is None or not _is_same(later[1], draft):
                raise nothing_appended(error) from error
            raise UnpublishedError(
                f"version {draft.version} of the policy is entry {later[0]}, and not in force "
                f"here: {error}",
                hint="Adopt the same file again once witnesses are back: it is stated once, "
                "published and put in force. If they are gone for good, adopt one that "
                + _following(later[1]),
            ) from error
        except UnavailableError as error:
            error.hint += " Adopting the same file again is safe: it is stated once."
            raise
        return stated, published

    def _stand(self, draft: TrustPolicy, by: tuple[str, ...]) -> tuple[TrustPolicy, int | None]:
        """Find out how a draft is, or would be, stated, and where it is published already.

        Raises:
            As `adopt`.
        """
        self._log.refresh()
        old, later = self.show(), self.unadopted()
        if later is not None:
            old = later[1]
        if _is_same(old, draft):
            found = self._log.find(predicate=POLICY, subject=old.digest.hex())
            return old, found[0].index if found else None
        if later is not None and draft.version <= old.version:
            raise ConflictError(
                f"version {old.version} of the policy stands in the log already, as entry "
                f"{later[0]}; it is another one, and not adopted here",
                hint="The first one counts for all who follow the log. Adopt its file, or one that "
                + _following(old),
            )
        end = self._log.size + len(self._log.waiting())
        stated = follow(old, draft, end)
        check_successor(old, stated, self._sign(stated, by), end)
        return stated, None

    def _sign(self, policy: TrustPolicy, by: tuple[str, ...]) -> Envelope:
        names = require_each(by, str, *PRINCIPALS)
        signers = [self._log.principal_key(name) for name in names]
        return sign_envelope(format_statement(policy_statement(policy)), *signers)

    def history(self, *, waiting: bool = False, shared: bool = False) -> PolicyHistory:
        """Give the policies of the log, from the adopted one back and forth.

        Args:
            waiting: Whether one that waits for witnesses counts, where it is seen.
            shared: As in `unadopted`.
        """
        stated = [
            (one.index, one.envelope) for one in self._log.find(predicate=POLICY, shared=shared)
        ]
        for index, entry in enumerate(self._log.waiting() if waiting else (), self._log.size):
            with suppress(FormatError):  # anything may stand in a log
                stated.append((index, parse_envelope(self._log.resolve(entry))))
        return _policy_history(self.show(), tuple(stated))

    def _keep(self, policy: TrustPolicy) -> None:
        disk = self._log.disk
        with reported(f"cannot keep the policy in {self._log.folder}"):
            disk.replace(self._log.folder, "trust.toml", format_adopted(policy))
        keep_policy(self._log.places.trust, policy, disk)

    def check(self, envelope: Envelope) -> None:
        """Check that the adopted policy would let somebody say this now; none lets everybody.

        Raises:
            PolicyError: nobody who may say it has signed it.
        """
        if self._log.places.trust.exists():
            statement = parse_statement(envelope.in_toto)
            check_attestation(self.show(), envelope, statement, self._log.size)

    def retention(self, system: str) -> tuple[RetentionRule, ...]:
        """Give the rules by which records of a system must be kept.

        Those of the adopted policy; where it says nothing, or there is none, Regulation B's.
        """
        rules = self.show().retention if self._log.places.trust.exists() else None
        rules = DEFAULT_RETENTION if rules is None else rules
        return tuple(rule for rule in rules if rule.covers(system))

    def suggest(self, stage: str = PRODUCTION) -> TrustPolicy:
        """Draft the next policy from what the log holds: it lets that through, and nothing wider.

        Nothing is adopted; a person should read it first.
        """
        policy = self.show()
        observed = [
            Observed(short_predicate(found.statement.predicate_type), subject.name, signed.keyid)
            for found in self._log.find()
            for subject in found.statement.subjects
            for signed in found.envelope.signatures
        ]
        purposes = policy.data.purposes if policy.data is not None else ()
        types = {
            name
            for found in heard_in(self._log, predicate="model")
            for name in stated_types(found.statement)
        }
        return suggest_policy(
            policy, observed, stage=stage, trusted_types=tuple(sorted(types)), purposes=purposes
        )

    def enforce(
        self,
        stage: str = PRODUCTION,
        mode: Mode | str = Mode.ENFORCE,
        *,
        by: tuple[str, ...] = ("operator",),
    ) -> int:
        """Set how a stage's gate acts, and the gate for data with it, and adopt that.

        In enforce mode, formats whose loading runs code are taken off the stage's list. Where the
        policy says all that already, it stays, in the same version.

        Args:
            stage: As the policy names it.
            mode: `observe`, `warn` or `enforce`.
            by: Local principals who sign the policy.

        Raises:
            FormatError: the policy has no such stage, or a gate no such mode.
            As `adopt`.
        """
        if mode not in tuple(Mode):
            raise FormatError(
                f"{mode!a:.40} is no mode of a gate", hint=f"It is one of {', '.join(Mode)}."
            )
        mode = Mode(mode)
        policy = self.require_stage(stage)
        stages = tuple(_with_mode(one, mode) if one.name == stage else one for one in policy.stages)
        data = None if policy.data is None else replace(policy.data, mode=mode)
        if (stages, data) == (policy.stages, policy.data):
            return self.adopt(policy, by=by)
        return self.adopt(policy.followed_by(stages=stages, data=data), by=by)


def _following(policy: TrustPolicy) -> str:
    """Say what follows a policy, for who cannot or will not go by it."""
    return (
        f'follows it: version = {policy.version + 1}, previous = "{policy.digest.hex()}". That is '
        "published under its own quorum, so it can leave out witnesses that are gone."
    )


def _is_same(adopted: TrustPolicy, draft: TrustPolicy) -> bool:
    """Tell whether a draft became the adopted policy, whose predecessors were written in."""
    return adopted.version == draft.version and draft == replace(
        adopted, predecessors=draft.predecessors
    )


def _with_mode(stage: Stage, mode: Mode) -> Stage:
    if mode is not Mode.ENFORCE:
        return replace(stage, mode=mode)
    return replace(
        stage, mode=mode, formats=tuple(one for one in stage.formats if one in SAFE_FORMATS)
    )


def heard_in(log: Log, *, predicate: str | None = None, subject: str | None = None) -> list[Found]:
    """Find statements whose makers may make them, oldest first.

    Anything may stand in a log; what a ledger goes by is what the adopted policy lets somebody
    say, judged by the policy of its time. Where no policy was adopted, everybody is heard.
    """
    return _heard(log, log.find(predicate=predicate, subject=subject))


def newest_heard(log: Log, *, predicate: str, subject: str) -> Found | None:
    """Find the newest such statement, without reading all the older ones."""
    last: int | None = 1
    while True:
        found = log.find(predicate=predicate, subject=subject, last=last)
        heard = _heard(log, found)
        if heard or last is None or len(found) < last:
            return heard[-1] if heard else None
        last = None


def _heard(log: Log, found: list[Found]) -> list[Found]:
    if not found or not log.places.trust.exists():
        return found
    policies = Trust(log).history()
    return [
        one for one in found if hear(policies.at(one.index), one.envelope, one.index).principals
    ]
