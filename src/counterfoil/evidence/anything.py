"""One `verify` for whatever it is given: evidence, a receipt, a ledger, data, a model's file."""

from __future__ import annotations

import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from counterfoil import cluster
from counterfoil.core.canonical import parse_json
from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.judgement import evaluate_data, evaluate_stage, find_revocation
from counterfoil.core.keys import VerifierKey, parse_vkey
from counterfoil.core.note import parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.shard import CARRIED_HEAD, check_carried, parse_carried
from counterfoil.core.statement import SHA256, Subject
from counterfoil.core.succession import PolicyHistory, policy_history
from counterfoil.core.testimony import check_attestation, hear, stated_types
from counterfoil.core.text import named
from counterfoil.data.datasets import Datasets
from counterfoil.errors import FormatError, PolicyError, VerificationError
from counterfoil.evidence.clearance import beyond_the_digest
from counterfoil.evidence.confirmed import confirm_checkpoint, confirm_log, newest_said
from counterfoil.evidence.evidence import EvidenceFile
from counterfoil.evidence.page import parse_page
from counterfoil.evidence.recalled import not_compared, recall
from counterfoil.evidence.verdict import Verdict
from counterfoil.evidence.verify import MAX_EVIDENCE_BYTES, verify_evidence
from counterfoil.ledger.audit import Progress, audit, unaudited
from counterfoil.ledger.disk import as_path, is_url, read_file, reported, require_there
from counterfoil.ledger.identity import no_ledger
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.policyfile import read_policy
from counterfoil.ledger.reading import Found
from counterfoil.ledger.splitview import kept_split_view
from counterfoil.ledger.status import check_memory, count_waiting
from counterfoil.ledger.trust import heard_in
from counterfoil.models.formats import read_model
from counterfoil.remote.engine import is_site, open_site

_RECEIPT_HEAD = b"c2sp.org/tlog-proof@"


def verify(
    what: str | Path | bytes | EvidenceFile,
    *,
    trust: str | Path | TrustPolicy | None = None,
    entry: str | Path | bytes | None = None,
    ledger: str | Path | None = None,
    rpc: str | None = None,
    progress: Progress | None = None,
    now: float | None = None,
) -> Verdict:
    """Verify whatever one is given.

    An evidence file stands by itself, and so does a ledger, in its folder or at its URL. A receipt
    needs the entry it is about; a data set or a model's file needs the ledger it was attested in.

    Args:
        what: A path, a ledger's address, or the file's bytes, or evidence not saved yet.
        trust: A trust policy that came from elsewhere; by default the one this user adopted for
            the log in question, if any. Without one the verdict is untrusted.
        entry: For a receipt: the entry that it is about.
        ledger: For a data set or a model's file: the folder or URL of the ledger.
        rpc: For evidence with an anchor: a node to ask about it, if the policy names nobody who
            vouches for it offline. Besides a ledger's address, nothing else ever asks the network.
        progress: For a ledger: called with entries done and entries in all.
        now: As of when certificates of time-stamps have to be valid, Unix seconds; None for now.

    Returns:
        What is proven, what was not checked, and whom one still has to trust.

    Raises:
        FormatError: it is nothing that can be verified.
        VerificationError: something in it is not true.
        UnavailableError: it cannot be read, or the node does not answer.
    """
    if isinstance(what, EvidenceFile):
        what = what.page()
    now = time.time() if now is None else now
    if isinstance(what, str) and is_url(what):
        _refuse_entry(entry)
        return _verify_ledger(what, trust, progress, now)
    if not isinstance(what, bytes):
        with reported("cannot look at what is to be verified"):
            is_ledger = is_site(what) or (as_path(what) / "ledger.json").exists()
        if is_ledger or ledger is not None:
            _refuse_entry(entry)
        if is_ledger:
            return _verify_ledger(what, trust, progress, now)
        if ledger is not None:
            return _verify_thing(as_path(what), ledger, trust, now)
        what = _read(as_path(what), MAX_EVIDENCE_BYTES)
    if what.startswith(_RECEIPT_HEAD):
        return _verify_receipt(what, entry, trust)
    if what.startswith(CARRIED_HEAD):
        return _verify_carried(what, entry, trust)
    _refuse_entry(entry)
    claimed = _claimed_key(what)
    policy = _trust(trust, claimed.name)
    _require_one_history(LogKeys(claimed) if policy is None else policy.log.keys)
    return verify_evidence(what, policy, rpc, now=now)


def _require_one_history(keys: LogKeys) -> None:
    """Refuse where this machine has the proof that the log showed two: which of them is this of?

    Raises:
        SplitViewError: it has.
    """
    split = kept_split_view(keys)
    if split is not None:
        raise split


def _refuse_entry(entry: object) -> None:
    """Refuse an entry beside anything but a receipt: it would seem to have been looked at."""
    if entry is not None:
        raise FormatError("an entry was given, and this is no receipt", hint="Leave `--entry` out.")


def _open_log(where: str | Path, trust: str | Path | TrustPolicy | None) -> Log:
    """Open a ledger; one elsewhere, or a copy, is proven as it is read."""
    if is_site(where):
        site = open_site(where, trust=trust, adopts=False)
        return Log(site.folder, engine=site)
    if isinstance(where, str) and is_url(where):
        return cluster.open_log(where)
    return Log(as_path(where))


def _verify_ledger(
    where: str | Path,
    trust: str | Path | TrustPolicy | None,
    progress: Progress | None,
    now: float,
) -> Verdict:
    with _open_log(where, trust) as log:
        policy = _trust(trust, log.origin)
        if policy is not None and log.key not in policy.log.keys.all:
            raise _other_log(log, policy)
        check_memory(log, may_lag=True)
        report = audit(log, progress)
        confirmed = confirm_log(log, policy, newest_said(log), now)
        waiting = count_waiting(log)
        moved, writers = log.engine.moved_to(), log.engine.writers
    is_confirmed = bool({Grade.WITNESSED, Grade.ANCHORED} & {*confirmed.grades})
    return Verdict(
        what=f"ledger {report.origin}",
        grade=confirmed.labels[-1],
        grades=confirmed.labels,
        trusted=policy is not None,
        policy=policy.digest.hex() if policy is not None else None,
        proved=(
            f"All {report.size} entries are under the log's signed root {report.root.hex()[:16]}….",
            *confirmed.proved,
        ),
        not_checked=(
            *((f"What came after: the log was moved to {moved}.",) if moved else ()),
            "The signatures inside the entries; gates and evidence check those they rest on.",
            *((_unpublished(waiting),) if waiting else ()),
            *(f"{one[0].upper()}{one[1:]}." for one in unaudited(log)),
            *not_compared(report.size, report.seen, writers),
            f"Whether the log went on since: others may have seen more than {report.size} entries.",
            "Whether others were shown another log"
            + (", confirmed by nobody named here." if is_confirmed else "."),
            *confirmed.not_checked,
        ),
        trust=confirmed.trust(policy),
        facts={"size": report.size, "root": report.root.hex(), "waiting": waiting},
    )


def _unpublished(waiting: int) -> str:
    more = "1 more entry is" if waiting == 1 else f"{waiting} more entries are"
    return (
        f"{more} durable here and not published, as too few witnesses have cosigned; "
        "`counterfoil log cosign` asks them again."
    )


def _verify_thing(
    path: Path, ledger: str | Path, trust: str | Path | TrustPolicy | None, now: float
) -> Verdict:
    """Verify that a data set or a model's file is one that was attested in a ledger."""
    with _open_log(ledger, trust) as log:
        policy = _trust(trust, log.origin)
        if policy is not None and log.key not in policy.log.keys.all:
            raise _other_log(log, policy)
        kind, found, subject = _find_thing(path, log)
        log.receipt(found.index)  # raises if the entry is not under the signed checkpoint
        check_memory(log, may_lag=True)
        seen = recall(log.checkpoint, log.keys)
        voices: tuple[str, ...] = ()
        if policy is not None:
            stated = [(one.index, one.envelope) for one in log.find(predicate="policy")]
            policies = policy_history(policy, stated)
            judge = policies.at(found.index)
            voices = check_attestation(judge, found.envelope, found.statement, found.index)
            _check_not_revoked(log, policies, kind, found, subject)
        confirmed = confirm_log(log, policy, found.index, now)
        revoked = [
            one.index
            for digest in subject.digest.values()
            for one in log.find(subject=digest, predicate="revocation")
        ]
        size = log.size
    name = named(subject.name)
    exactly = "byte for byte" if kind == "model" else "part for part"
    return Verdict(
        what=f"{kind} {name}",
        grade=confirmed.labels[-1],
        grades=confirmed.labels,
        trusted=policy is not None,
        policy=policy.digest.hex() if policy is not None else None,
        proved=(
            f"{path} is, {exactly}, the {kind} {name} attested at entry {found.index}"
            + (f" by {', '.join(voices)}." if voices else "."),
            *confirmed.proved,
        ),
        not_checked=(
            "Whether it may be used: that is for a gate.",
            *(beyond_the_digest(found.statement) if kind == "model" else ()),
            *(
                f"Entry {index} says that it was revoked"
                + ("; by this policy that does not count, or was lifted." if policy else ".")
                for index in revoked
            ),
            f"Anything after entry {size} of the log, or in another log.",
            *confirmed.not_checked,
            *seen.not_checked,
        ),
        trust=("Whoever attested it, that it is what they say.", *confirmed.trust(policy)),
        facts={"name": subject.name, "index": found.index, "revoked": list(revoked)},
    )


def _check_not_revoked(
    log: Log, policies: PolicyHistory, kind: str, found: Found, subject: Subject
) -> None:
    """Refuse what was revoked, unless some gate of the newest policy lets it in since."""
    policy = policies.at(log.size)
    heard = [
        hear(policies.at(one.index), one.envelope, one.index)
        for digest in subject.digest.values()
        for one in log.find(subject=digest)
    ]
    revoked = find_revocation(policy, subject, heard)
    if revoked is None:
        return
    now = int(log.clock())
    if kind == "model":
        judged = [
            evaluate_stage(
                policy,
                stage.name,
                subject,
                heard,
                model_format=str(found.statement.predicate.get("format")),
                types=stated_types(found.statement),
                now=now,
            )
            for stage in policy.stages
        ]
    else:
        purposes = policy.data.purposes if policy.data is not None else ()
        judged = [evaluate_data(policy, one, subject, heard, now=now) for one in purposes]
    if all(one.reasons for one in judged):
        raise PolicyError(
            f"the {kind} {named(subject.name)} was revoked at entry {revoked}",
            have=f"a revocation at entry {revoked}",
            need="what lifts it, said anew by all whom a gate asks",
            hint="Do not use it; ask whoever runs the ledger which version replaces it.",
        )


def _find_thing(path: Path, log: Log) -> tuple[str, Found, Subject]:
    """Find the statement about a file: a model's by its SHA-256, a data set's by comparing."""
    if path.is_file():
        digest = sha256(read_model(path)).hexdigest()
        for found in heard_in(log, predicate="model", subject=digest):
            for subject in found.statement.subjects:
                if subject.digest.get(SHA256) == digest:
                    return "model", found, subject
    datasets = Datasets(log)
    for dataset in reversed(datasets.list()):
        if datasets.is_same(dataset, path):
            found = heard_in(log, predicate="dataset", subject=dataset.digest)[0]
            return "data set", found, dataset.subject
    if _stands_by_itself(path):
        raise FormatError(
            f"{path} is an evidence file or a receipt, and --ledger is for model files and data "
            "sets",
            hint=f"Leave --ledger out: `counterfoil verify {path} --trust TRUST.toml`.",
        )
    raise VerificationError(
        f"{path} is no model's file and no data set that was attested in {log.engine.name}",
        hint="`counterfoil data diff NAME FILE` names the rows that differ.",
    )


def _stands_by_itself(path: Path) -> bool:
    """Whether a file seems to be evidence or a receipt: only to say how it is verified."""
    if not path.is_file() or path.stat().st_size > MAX_EVIDENCE_BYTES:
        return False
    data = _read(path, MAX_EVIDENCE_BYTES)
    if data.startswith((_RECEIPT_HEAD, CARRIED_HEAD)):
        return True
    with suppress(FormatError):
        return bool(_claimed_key(data))
    return False


def _verify_receipt(
    data: bytes,
    entry: str | Path | bytes | None,
    trust: str | Path | TrustPolicy | None,
) -> Verdict:
    receipt = parse_receipt(data)
    origin = parse_note(receipt.checkpoint).text.split("\n", 1)[0]
    policy, held = _needed(entry, trust, origin)
    _require_one_history(policy.log.keys)
    checkpoint = check_receipt(held, receipt, policy.log.keys)
    confirmed = confirm_checkpoint(receipt.checkpoint, policy)
    return Verdict(
        what=f"entry {receipt.index} of {origin}",
        grade=confirmed.labels[-1],
        grades=confirmed.labels,
        trusted=True,
        policy=policy.digest.hex(),
        proved=(
            f"The entry is number {receipt.index} of {checkpoint.size} in the log {origin}.",
            *confirmed.proved,
        ),
        not_checked=(
            "What the entry says, and who signed it.",
            f"What came after the {checkpoint.size} entries of its checkpoint.",
            "Time-stamps and anchors: a receipt carries none.",
            *confirmed.not_checked,
        ),
        trust=confirmed.trust(policy),
        facts={"index": receipt.index, "size": checkpoint.size},
    )


def _verify_carried(
    data: bytes, entry: str | Path | bytes | None, trust: str | Path | TrustPolicy | None
) -> Verdict:
    """Verify a receipt of an older shard, by the policy of a newer one."""
    carried = parse_carried(data)
    newest = parse_receipt(carried.takeovers[-1][1])
    origin = parse_note(newest.checkpoint).text.split("\n", 1)[0]
    policy, held = _needed(entry, trust, origin)
    _require_one_history(policy.log.keys)
    receipt = parse_receipt(carried.receipt)
    covering = check_carried(held, carried, policy.log.keys)
    confirmed = confirm_checkpoint(newest.checkpoint, policy)
    own = covering[0]
    since = ", then of ".join(checkpoint.origin for checkpoint in covering[1:])
    return Verdict(
        what=f"entry {receipt.index} of {own.origin}",
        grade=confirmed.labels[-1],
        grades=confirmed.labels,
        trusted=True,
        policy=policy.digest.hex(),
        proved=(
            f"The entry is number {receipt.index} of {own.size} in {own.origin}, now ended.",
            f"The end of that log is the beginning of {since}, which both logs have signed.",
            *confirmed.proved,
        ),
        not_checked=(
            "What the entry says, and who signed it.",
            "Who had cosigned the older log: its policy says who had to.",
            "Time-stamps and anchors: a receipt carries none.",
            *confirmed.not_checked,
        ),
        trust=confirmed.trust(policy),
        facts={"index": receipt.index, "size": own.size, "log": own.origin},
    )


def _needed(
    entry: str | Path | bytes | None, trust: str | Path | TrustPolicy | None, origin: str
) -> tuple[TrustPolicy, bytes]:
    """Give what a receipt does not carry: a policy that knows the key, and the entry."""
    policy = _trust(trust, origin)
    if entry is None:
        raise FormatError("a receipt alone says nothing", hint="Give the entry it is about, too.")
    if policy is None:
        raise FormatError(
            f"no trust policy names the key of the log {origin}",
            hint="Give one with `--trust`; a receipt does not carry the key.",
        )
    return policy, entry if isinstance(entry, bytes) else _read(Path(entry), MAX_EVIDENCE_BYTES)


def _trust(trust: str | Path | TrustPolicy | None, origin: str) -> TrustPolicy | None:
    """Get the policy to judge by: the one given, else what this user adopted for that origin."""
    if isinstance(trust, TrustPolicy):
        return trust
    path = as_path(trust) if trust is not None else Places(origin).adopted()
    if path is None:
        return None
    _require_file(path)
    return read_policy(path)


def _claimed_key(data: bytes) -> VerifierKey:
    """Read whose log the evidence claims to be of: only to choose among what lies here."""
    if (first := data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]) not in {b"<", b"{"}:
        raise FormatError(
            "this is no evidence file, no receipt and no ledger",
            hint="For a data set or a model's file, name the ledger: `--ledger PATH`.",
        )
    evidence = parse_page(data) if first == b"<" else parse_json(data, what="the evidence file")
    match evidence:
        case {"newest": {"key": str(vkey)}} | {"log": {"key": str(vkey)}}:
            return parse_vkey(vkey)
    raise FormatError("this is no evidence file", hint="It does not name its log.")


def _read(path: Path, most: int) -> bytes:
    _require_file(path)
    return read_file(path, most)


def _require_file(path: Path) -> None:
    require_there(path)
    if path.is_dir():
        raise no_ledger(path)


def _other_log(log: Log, policy: TrustPolicy) -> PolicyError:
    hint = "It is another ledger, or the policy is of another one, or older than the key."
    if count_waiting(log):
        hint = (
            "What names this key may be among the entries that wait here for more witnesses: "
            f"`counterfoil log cosign` asks them again. Else: {hint}"
        )
    return PolicyError(
        f"this ledger signs with {log.key.label}; the trust policy knows {policy.log.key.label}",
        have=log.key.label,
        need=policy.log.key.label,
        hint=hint,
    )
