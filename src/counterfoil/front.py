"""The front door: make a ledger, open one, verify what somebody hands you."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from counterfoil.core.canonical import parse_json
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.keys import Algorithm, VerifierKey
from counterfoil.core.note import parse_note
from counterfoil.core.policy import Succession, TrustPolicy, parse_policy
from counterfoil.core.principals import Permission, Principal
from counterfoil.core.quorum import Grade, LogIdentity, Witness, check_quorum
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.data.datasets import Datasets
from counterfoil.decisions.decisions import Decisions
from counterfoil.decisions.people import People
from counterfoil.decisions.stream import TICKET_KEY
from counterfoil.errors import ConflictError, FormatError, PolicyError, UnavailableError
from counterfoil.evidence.evidence import Evidence, EvidenceFile
from counterfoil.evidence.page import parse_page
from counterfoil.evidence.verdict import Verdict
from counterfoil.evidence.verify import MAX_EVIDENCE_BYTES, verify_evidence
from counterfoil.ledger.audit import Progress, audit
from counterfoil.ledger.disk import reported
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.trust import PRODUCTION, Trust
from counterfoil.ledger.witness import Witness as LocalWitness
from counterfoil.models.registry import CALLABLE, Models

OPERATOR = "operator"
POLICY_YEARS = 1
_YEAR_S = 365 * 24 * 3600
_ALL_FORMATS = ("skops", "safetensors", "onnx", "pickle", CALLABLE)


class Ledger(Log):
    """A ledger: the log, and everything that is kept with it."""

    @cached_property
    def data(self) -> Datasets:
        """Data sets: `add`, `list`, `show`, `diff`, `check`, `clear`."""
        return Datasets(self)

    @cached_property
    def models(self) -> Models:
        """Models: `add`, `list`, `show`, `load`, `approve`, `promote`, `revoke`."""
        return Models(self, self.decisions.make)

    @cached_property
    def decisions(self) -> Decisions:
        """Decisions: `make`, `list`, `show`, `replay`, `override`, `reconcile`."""
        return Decisions(self, self.evidence.make)

    @cached_property
    def evidence(self) -> Evidence:
        """Evidence files: `make`."""
        return Evidence(self)

    @cached_property
    def people(self) -> People:
        """People: `export`, `erase`."""
        return People(self)

    @cached_property
    def policy(self) -> Trust:
        """The trust policy: `show`, `suggest`, `adopt`, `enforce`."""
        return Trust(self)

    def add_principal(self, name: str) -> VerifierKey:
        """Make a local key for a principal and return its public half, for the policy.

        Raises:
            ConflictError: there is one of that name.
        """
        key = generate_key(name, Algorithm.ED25519)
        save_key(self.places.keys / f"{name}.pem", key)
        return key.key


def init(
    path: str | Path,
    *,
    organisation: str = "this organisation",
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> Ledger:
    """Make a ledger with its keys, a local witness and a policy in observe mode; safe to repeat.

    Args:
        path: The ledger's folder. Keys, witness and the adopted policy go elsewhere: see
            `ledger.places`.
        organisation: Who operates it, as verdicts will say.
        clock: POSIX time in seconds.
        random: Gives that many random bytes.

    Raises:
        ConflictError: the folder holds something that is no whole ledger.
        UnavailableError: the disk refuses.
    """
    folder = Path(path)
    if not (folder / "ledger.json").exists():
        name = folder.absolute().name.lower()
        readable = "".join(c if c.isalnum() and c.isascii() else "-" for c in name).strip("-")
        origin = f"counterfoil.local/{readable or 'ledger'}-{random(4).hex()}"
        signer = generate_key(origin, Algorithm.ED25519)
        places = Places(origin)
        save_key(places.keys / "log.pem", signer)
        for name in (OPERATOR, TICKET_KEY):
            save_key(places.keys / f"{name}.pem", generate_key(name, Algorithm.ED25519))
        witness = generate_key("witness.local", Algorithm.COSIGNATURE_ED25519)
        save_key(places.witness / "key.pem", witness)
        LocalWitness(places.witness, witness, clock=clock).know(signer.key)
        # If we stop before the next line, the keys are of no ledger, and the next try makes new
        # ones under another origin.
        with reported(f"cannot make a ledger in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        Log.create(folder, signer)
    ledger = Ledger(folder, clock=clock, random=random)
    try:
        if not ledger.places.trust.exists() and (ledger.places.keys / "log.pem").exists():
            ledger.policy.adopt(first_policy(ledger, organisation))
    except BaseException:
        ledger.close()
        raise
    return ledger


def open_ledger(
    url: str | Path,
    *,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> Ledger:
    """Open a ledger that exists; exported as `counterfoil.open`.

    Args:
        url: Its folder.
        clock: POSIX time in seconds.
        random: Gives that many random bytes.

    Raises:
        FormatError: there is none there; names `init`.
    """
    if isinstance(url, str) and "://" in url:
        raise FormatError(
            f"{url} is no folder, and only folders can be opened yet", hint="Give a path."
        )
    ledger = Ledger(Path(url), clock=clock, random=random)
    # An erasure that a crash interrupted is finished first; if somebody else writes, it is theirs.
    with contextlib.suppress(ConflictError):
        ledger.people.finish()
    return ledger


def first_policy(ledger: Ledger, organisation: str) -> TrustPolicy:
    """Make the policy that `init` adopts: the operator may say everything; gates observe."""
    expires = time.gmtime(ledger.clock() + POLICY_YEARS * _YEAR_S)
    operator = load_key(ledger.places.keys / f"{OPERATOR}.pem").key
    witness = load_key(ledger.places.witness / "key.pem").key
    return TrustPolicy(
        name=ledger.origin.partition("/")[2],
        version=1,
        expires=time.strftime("%Y-%m-%dT%H:%M:%SZ", expires),
        log=LogIdentity(ledger.origin, ledger.key, organisation),
        witnesses=(Witness("local", witness, organisation),),
        # A witness of one's own proves nothing to others, so its absence is no reason to refuse.
        quorum=0,
        principals=(Principal(OPERATOR, organisation, (operator,), may=(Permission("*", "*"),)),),
        stages=(
            Stage(
                PRODUCTION,
                Mode.OBSERVE,
                _ALL_FORMATS,
                (
                    Requirement("evaluation", 1, (OPERATOR,)),
                    Requirement("approval", 1, (OPERATOR,)),
                ),
            ),
        ),
        data=DataRules(
            Mode.OBSERVE,
            ("training",),
            (Requirement("dataset", 1, (OPERATOR,)),),
            consent_when_personal=False,
        ),
        succession=Succession(1, (OPERATOR,)),
    )


def verify(
    what: str | Path | bytes | EvidenceFile,
    *,
    trust: str | Path | TrustPolicy | None = None,
    entry: str | Path | bytes | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Verify whatever one is given: an evidence file, a receipt, or a whole ledger.

    Args:
        what: A path, or the file's bytes, or evidence not saved yet.
        trust: A trust policy that came from elsewhere; by default the one this user adopted for
            the log in question, if any. Without one the verdict is untrusted.
        entry: For a receipt: the entry that it is about.
        progress: For a ledger: called with entries done and entries in all.

    Returns:
        What is proven, what was not checked, and whom one still has to trust.

    Raises:
        FormatError: it is nothing that can be verified.
        VerificationError: something in it is not true.
        UnavailableError: it cannot be read.
    """
    if isinstance(what, EvidenceFile):
        what = what.page()
    if not isinstance(what, bytes):
        path = Path(what)
        if (path / "ledger.json").exists():
            return _verify_ledger(path, trust, progress)
        what = _read(path, MAX_EVIDENCE_BYTES)
    if what.startswith(b"c2sp.org/tlog-proof@"):
        return _verify_receipt(what, entry, trust)
    return verify_evidence(what, _trust(trust, _origin_of(what)))


def _verify_ledger(
    path: Path, trust: str | Path | TrustPolicy | None, progress: Progress | None
) -> Verdict:
    with Ledger(path) as ledger:
        policy = _trust(trust, ledger.origin)
        if policy is not None and policy.log.key != ledger.key:
            raise _other_log(ledger.key, policy)
        report = audit(ledger, progress)
        checkpoint = ledger.checkpoint
    grade = _grade(checkpoint, policy)
    return Verdict(
        what=f"ledger {report.origin}",
        grade=grade.label,
        trusted=policy is not None,
        policy=policy.digest.hex() if policy is not None else None,
        proved=(
            f"All {report.size} entries are under the log's signed root {report.root.hex()[:16]}….",
        ),
        not_checked=(
            "The signatures inside the entries; gates and evidence check those they rest on.",
            "Whether others were shown another log.",
        ),
        trust=(
            ("Nobody for the entries themselves; its witnesses for there being no other log.",)
            if grade >= Grade.WITNESSED
            else ("The operator, that this is the log everybody sees.",)
        ),
        facts={"size": report.size, "root": report.root.hex()},
    )


def _verify_receipt(
    data: bytes,
    entry: str | Path | bytes | None,
    trust: str | Path | TrustPolicy | None,
) -> Verdict:
    receipt = parse_receipt(data)
    origin = parse_note(receipt.checkpoint).text.split("\n", 1)[0]
    policy = _trust(trust, origin)
    if entry is None:
        raise FormatError("a receipt alone says nothing", hint="Give the entry it is about, too.")
    if policy is None:
        raise FormatError(
            f"no trust policy names the key of the log {origin}",
            hint="Give one with `--trust`; a receipt does not carry the key.",
        )
    held = entry if isinstance(entry, bytes) else _read(Path(entry), MAX_EVIDENCE_BYTES)
    checkpoint = check_receipt(held, receipt, policy.log.key)
    grade = _grade(receipt.checkpoint, policy)
    return Verdict(
        what=f"entry {receipt.index} of {origin}",
        grade=grade.label,
        trusted=True,
        policy=policy.digest.hex(),
        proved=(f"The entry is number {receipt.index} of {checkpoint.size} in the log {origin}.",),
        not_checked=("What the entry says, and who signed it.",),
        trust=("Whoever gave you the trust policy, for the log's key.",),
        facts={"index": receipt.index, "size": checkpoint.size},
    )


def _grade(checkpoint: bytes, policy: TrustPolicy | None) -> Grade:
    if policy is None:
        return Grade.SELF_WITNESSED
    keys = [witness.key for witness in policy.witnesses]
    return check_quorum(policy, find_cosignatures(parse_note(checkpoint), keys))


def _trust(trust: str | Path | TrustPolicy | None, origin: str) -> TrustPolicy | None:
    """Get the policy to judge by: the one given, else what this user adopted for that origin."""
    if isinstance(trust, TrustPolicy):
        return trust
    path = Path(trust) if trust is not None else Places(origin).trust
    if trust is None and not path.exists():
        return None
    return parse_policy(_read(path, MAX_EVIDENCE_BYTES))


def _origin_of(data: bytes) -> str:
    """Read which log the evidence claims to be of: only to choose among one's own policies."""
    is_page = data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")
    evidence = parse_page(data) if is_page else parse_json(data, what="the evidence file")
    match evidence:
        case {"log": {"origin": str(origin)}}:
            return origin
    raise FormatError("this is no evidence file", hint="It does not name its log.")


def _read(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise UnavailableError(f"there is no file {path}", hint="Check the path.")
    with reported(f"cannot read {path}"), path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise FormatError(f"{path} is larger than {most} bytes", hint="It is no evidence file.")
    return data


def _other_log(key: VerifierKey, policy: TrustPolicy) -> PolicyError:
    return PolicyError(
        f"this ledger signs with {key.label}; the trust policy knows {policy.log.key.label}",
        have=key.label,
        need=policy.log.key.label,
        hint="It is another ledger, or the policy is of another one.",
    )
