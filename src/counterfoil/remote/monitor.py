"""A monitor: follows a log for ever, and tells what it finds.

Each step looks at the newest checkpoint, at whether it extends what was seen, and at every entry
that is new: whether the trust policy lets anybody say it, and which watch rules are about it.

    entry        a statement that a watch rule is about
    refused      an entry that the trust policy lets nobody say
    split-view   another history than was seen
    set-back     fewer entries than were seen
    untrue       anything else that does not hold: a signature, a quorum, a tile, an entry
    stale        no new checkpoint for too long, or none that could be followed

Found is told at least once: an event is written into the state with the place up to which entries
were looked at, and leaves it once it was taken.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from counterfoil.core.envelope import Envelope, format_envelope, parse_envelope
from counterfoil.core.shard import HANDOVER, TAKEOVER, handover_of, takeover_of
from counterfoil.core.statement import parse_statement
from counterfoil.core.succession import POLICY, PolicyHistory
from counterfoil.core.testimony import hear, short_predicate
from counterfoil.errors import (
    CounterfoilError,
    FormatError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.disk import Disk, WriterLock, reported
from counterfoil.ledger.keyfiles import home, make_private
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.splitview import kept_split_view
from counterfoil.ledger.trust import Trust
from counterfoil.remote.deliver import DELIVER_WITHIN_S, Courier
from counterfoil.remote.figures import format_figures, write_figures
from counterfoil.remote.follow import SetBackError
from counterfoil.remote.monitorstate import MAX_PENDING, MonitorState, read_state
from counterfoil.remote.watch import (
    ENTRY,
    KINDS,
    REFUSED,
    SET_BACK,
    SPLIT_VIEW,
    STALE,
    UNTRUE,
    Rule,
)

_BATCH = 256  # entries between two states
_SAVE_EVERY_S = 1.0  # while events are told: as many as that are told twice after a kill

Report = Callable[[dict[str, Any]], None]
Undelivered = Callable[[str, UnavailableError], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at a log found.

    Args:
        size: Entries looked at so far.
        new: How many of them now.
        error: What is wrong with the log now, or why it could not be looked at; None if nothing.
        pending: Notifications that nobody has taken yet.
    """

    size: int
    new: int
    error: CounterfoilError | None
    pending: int


class Monitor:
    """Follows one log.

    Args:
        open_log: Opens the log, at home or elsewhere; called again where that failed.
        rules: Whom to tell of what.
        origin: The log, where that is known before it is opened: then a log that cannot be opened,
            as it shows another history, is something to tell.
        state: The file of its memory; None for the log's own under `home()`.
        metrics: Where figures for Prometheus go; None for nowhere.
        stale_after_s: How old the newest checkpoint may be; None for any age.
        from_now: Whether a new monitor looks only at entries that come from now on.
        report: Called with each event, before it is remembered.
        undelivered: Called with the name of a rule whose webhook or command did not take an event,
            and why: the first time, and whenever it is for another reason.
        clock: POSIX time in seconds.
        deliver_within_s: See `deliver.DELIVER_WITHIN_S`.

    Raises:
        ConflictError: another monitor uses this state.
        FormatError: the state is damaged, or of another log.
        As `open_log`, where the origin is not known.
    """

    def __init__(
        self,
        open_log: Callable[[], Log],
        rules: Sequence[Rule] = (),
        *,
        origin: str | None = None,
        state: Path | None = None,
        metrics: Path | None = None,
        stale_after_s: float | None = None,
        from_now: bool = False,
        report: Report = lambda _: None,
        undelivered: Undelivered = lambda _rule, _why: None,
        clock: Callable[[], float] = time.time,
        deliver_within_s: float = DELIVER_WITHIN_S,
    ) -> None:
        self._open, self._rules, self._report = open_log, {one.name: one for one in rules}, report
        self._metrics, self._stale_after_s = metrics, stale_after_s
        self._undelivered = undelivered
        self._failing: dict[str, str] = {}  # rules that were last not heard, and why
        self._clock, self._disk = clock, Disk()
        self._courier = Courier(within_s=deliver_within_s)
        self._succeeded = 0
        self._policies: PolicyHistory | None = None
        self._silent: set[str] = set()  # rules that were not heard in this step
        self._log: Log | None = None
        if origin is None:
            self._log = open_log()
            origin = self._log.origin
        with contextlib.ExitStack() as held:
            held.callback(self._close_log)
            self._path = state or home() / "monitor" / f"{Places(origin).slug}.json"
            with reported(f"cannot keep a state in {self._path}"):
                make_private(self._path.parent)
                lock = self._path.with_name(f"{self._path.name}.lock")
                held.callback(WriterLock(lock, str(self._path)).close)
            found = read_state(self._path, origin)
            self._state = found or MonitorState(origin, changed=self._now())
            self._is_new = found is None and from_now
            self._waiting = {_name(one) for one in self._state.pending}
            self._held = held.pop_all()

    def step(self) -> Step:
        """Look at the log once, and tell what is to be told.

        Raises:
            UnavailableError: the state cannot be kept. Whatever is wrong with the log is told,
                and in what this returns.
        """
        state, before = self._state, self._state.size
        error: CounterfoilError | None = None
        self._silent.clear()
        self._tell()
        try:
            log = self._newest()
            self._compare(log)
            for kind in (SET_BACK, UNTRUE):
                state.alarms.pop(kind, None)
            error = self._watch_evidence(log)
            self._read_new(log)
            self._note_checkpoint(log)
        except SplitViewError as split:
            error = split
            self._alarm(SPLIT_VIEW, split, a=_text(split.a), b=_text(split.b))
        except SetBackError as behind:
            error = behind
            self._alarm(SET_BACK, behind)
        except (VerificationError, FormatError) as untrue:
            error = untrue
            self._alarm(UNTRUE, untrue)
        except UnavailableError as silence:
            error = silence
        else:
            if error is None:
                self._succeeded = self._now()
        self._watch_silence(error)
        self._save()
        self._tell()
        if self._metrics is not None:
            text = format_figures(state, self._succeeded, KINDS)
            write_figures(self._metrics, text, self._disk)
        return Step(state.size, state.size - before, error, len(state.pending))

    def close(self) -> None:
        """Close the log, and let another monitor use the state."""
        self._courier.close()
        self._held.close()

    # The log

    def _newest(self) -> Log:
        """Open the log, or see what was published since."""
        if self._log is None:
            self._log = self._open()
        else:
            self._log.refresh()
        if self._is_new:
            self._state.size, self._state.root = self._log.size, self._log.root
            self._is_new = False
        return self._log

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()

    def _compare(self, log: Log) -> None:
        """Hold the log against what was looked at; an engine elsewhere has its own memory, too."""
        state = self._state
        if log.size < state.size:
            raise SetBackError(
                f"{log.origin} shows {log.size} entries, and {state.size} were seen before: it "
                "was set back",
                hint="Keep its newer checkpoint; this monitor has it in its state.",
            )
        if log.root_at(state.size) != state.root:
            raise SplitViewError(
                f"{log.origin} shows other entries among the first {state.size} than were seen",
                a=state.checkpoint.encode(),
                b=log.checkpoint,
                hint="Keep both checkpoints: the log signed both, and can be trusted no more.",
            )

    def _note_checkpoint(self, log: Log) -> None:
        note = _text(log.checkpoint)
        if note != self._state.checkpoint:
            self._state.checkpoint, self._state.changed = note, self._now()

    def _read_new(self, log: Log) -> None:
        """Look at entries until all were, or too much is waiting to be told."""
        state = self._state
        while state.size < log.size and len(state.pending) < MAX_PENDING:
            size = state.size
            try:
                for entry in log.checked(size, min(log.size, size + _BATCH)):
                    self._look_at(log, size, entry)
                    size += 1
                    if len(state.pending) >= MAX_PENDING:
                        break
            finally:
                state.size, state.root = size, log.root_at(size)
            # If we stop before this is written, these entries are looked at, and told, again.
            self._save()
            self._tell()

    def _look_at(self, log: Log, index: int, entry: bytes) -> None:
        """Judge an entry, and tell whom it concerns."""
        event: dict[str, Any] = {"index": index, "predicate": "", "subjects": [], "issuers": []}
        objection = ""
        try:
            envelope = parse_envelope(log.resolve(entry))
            statement = parse_statement(envelope.in_toto)
        except FormatError as error:
            objection = f"it is no statement: {error}"
        except VerificationError as error:
            objection = str(error)
        else:
            event["predicate"] = short_predicate(statement.predicate_type)
            event["subjects"] = [
                {"name": one.name, "digest": dict(one.digest)} for one in statement.subjects
            ]
            event["issuers"] = [one.keyid for one in envelope.signatures]
            objection = self._objection(log, index, envelope, event)
        if objection:
            self._found(REFUSED, {**event, "reason": objection})
        else:
            self._found(ENTRY, event)

    def _objection(self, log: Log, index: int, envelope: Envelope, event: dict[str, Any]) -> str:
        """Say why the policy lets nobody say this; empty where it does, or there is no policy."""
        if event["predicate"] in {HANDOVER, TAKEOVER} and _is_seam(log, index, envelope):
            event["principals"] = []  # the logs say it themselves, and no policy has to let them
            return ""
        if self._policies is None or event["predicate"] == POLICY:
            if not log.places.trust.exists():
                return ""
            self._policies = Trust(log).history()
        try:
            heard = hear(self._policies.at(index), envelope, index)
        except VerificationError as error:
            return str(error)
        event["principals"] = list(heard.principals)
        return heard.objection

    # What is told

    def _alarm(self, kind: str, error: CounterfoilError, **more: str) -> None:
        """Tell that something is wrong, once as long as it is wrong in the same way."""
        if self._state.alarms.get(kind) != str(error):
            self._state.alarms[kind] = str(error)
            self._found(kind, {"reason": str(error), "hint": error.hint, **more})

    def _watch_evidence(self, log: Log) -> SplitViewError | None:
        """Keep the alarm up for as long as the proof of two histories lies on this machine."""
        split = kept_split_view(log.keys)
        if split is None:
            self._state.alarms.pop(SPLIT_VIEW, None)
        elif SPLIT_VIEW not in self._state.alarms:
            self._alarm(SPLIT_VIEW, split, a=_text(split.a), b=_text(split.b))
        return split

    def _watch_silence(self, error: CounterfoilError | None) -> None:
        state, limit = self._state, self._stale_after_s
        if limit is None:
            return
        age = self._now() - max(state.changed, 0)
        if age <= limit:
            state.alarms.pop(STALE, None)
        elif STALE not in state.alarms:
            state.alarms[STALE] = str(state.changed)
            why = f"no new checkpoint that could be followed for {age} s"
            self._found(STALE, {"reason": f"{why}: {error}" if error else why})

    def _found(self, kind: str, event: dict[str, Any]) -> None:
        state = self._state
        state.count(kind)
        place = event.get("index", sha256(event.get("reason", "").encode()).hexdigest()[:12])
        told = {
            "id": f"{state.origin}:{kind}:{place}",
            "kind": kind,
            "origin": state.origin,
            "size": self._log.size if self._log is not None else state.size,
            **event,
        }
        subjects = [one["name"] for one in event.get("subjects", ())]
        rules = [
            rule
            for rule in self._rules.values()
            if rule.is_about(kind, event.get("predicate", ""), subjects, event.get("issuers", ()))
        ]
        if rules or kind != ENTRY:
            self._report(told)
        for rule in rules:
            waiting = {"rule": rule.name, "event": {**told, "rule": rule.name}}
            if _name(waiting) not in self._waiting:
                state.pending.append(waiting)
                self._waiting.add(_name(waiting))

    def _tell(self) -> None:
        """Deliver what waits, in order for each rule; what is not taken waits on."""
        state = self._state
        pending, kept = state.pending, []
        saved = time.monotonic()
        for place, waiting in enumerate(pending):
            if not self._is_taken(waiting):
                kept.append(waiting)
                continue
            # If we stop before this is written, it is told again.
            self._waiting.discard(_name(waiting))
            if time.monotonic() - saved > _SAVE_EVERY_S:
                state.pending = kept + pending[place + 1 :]
                self._save()
                saved = time.monotonic()
        state.pending = kept
        if len(kept) < len(pending):
            self._save()

    def _is_taken(self, waiting: dict[str, Any]) -> bool:
        """Tell one event, unless its rule was not heard in this step."""
        rule = self._rules.get(waiting["rule"])
        if rule is None:
            return True  # a rule that is gone has nobody to be told
        if rule.name in self._silent:
            return False
        try:
            self._courier.deliver(rule, waiting["event"])
        except UnavailableError as error:
            self._state.count("failed")
            self._silent.add(rule.name)
            if self._failing.get(rule.name) != str(error):
                self._failing[rule.name] = str(error)
                self._undelivered(rule.name, error)
            return False
        self._failing.pop(rule.name, None)
        self._state.count("taken")
        return True

    def _save(self) -> None:
        self._state.save(self._path, self._disk)

    def _now(self) -> int:
        return int(self._clock())


def _is_seam(log: Log, index: int, envelope: Envelope) -> bool:
    """Whether a log ends with this entry, or begins with it where another one ended."""
    if handover_of(format_envelope(envelope), log.keys, index + 1) is not None:
        return True
    try:
        takeover_of(envelope, log.keys)
    except (FormatError, VerificationError):
        return False
    return index == 0


def _name(waiting: dict[str, Any]) -> tuple[str, str]:
    """Tell one notification from another."""
    return str(waiting.get("rule")), str(waiting.get("event", {}).get("id"))


def _text(note: bytes) -> str:
    return note.decode("utf-8", "backslashreplace")
