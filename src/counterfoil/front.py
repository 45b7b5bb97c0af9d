"""The front door: make a ledger, open one, verify what somebody hands you."""

from __future__ import annotations

import contextlib
import os
import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from counterfoil import cluster
from counterfoil.core.callers import callers_level
from counterfoil.core.keys import Algorithm, Signer, VerifierKey
from counterfoil.core.policy import Succession, TrustPolicy
from counterfoil.core.principals import Permission, Principal, check_text
from counterfoil.core.quorum import LogIdentity, Witness
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.data.datasets import Datasets
from counterfoil.decisions.decisions import Decisions
from counterfoil.decisions.erasing import ErasureWarning, UnfinishedError
from counterfoil.decisions.people import People
from counterfoil.decisions.stream import TICKET_KEY, streams_of
from counterfoil.errors import ConflictError, FormatError, RefusedError
from counterfoil.evidence.evidence import Evidence
from counterfoil.ledger.audit import AuditReport, Progress, audit
from counterfoil.ledger.disk import Disk, as_path, is_url, reported
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.moved import EndedError
from counterfoil.ledger.nextkey import load_log_key
from counterfoil.ledger.places import Places, make_principal_key
from counterfoil.ledger.sharding import hand_over_to, shard_after
from counterfoil.ledger.trust import PRODUCTION, Trust
from counterfoil.ledger.witness import Witness as LocalWitness
from counterfoil.models.intake import CALLABLE
from counterfoil.models.registry import Models
from counterfoil.remote.engine import is_site, open_site
from counterfoil.remote.importing import Imported, import_site
from counterfoil.vault.carry import carrying

OPERATOR = "operator"
POLICY_YEARS = 1
_READABLE_CHARACTERS = 40  # of the folder's name in an origin, which has at most 255 bytes
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

    def audit(self, progress: Progress | None = None) -> AuditReport:
        """Hash the whole log again; see `ledger.audit`.

        Raises:
            SplitViewError: on this machine lies the proof that the log showed two histories.
            VerificationError: names the first bad place.
        """
        return audit(self, progress)

    def shard(self, path: str | Path, *, despite_records: bool = False) -> Ledger:
        """End this log for ever, and begin another one where it ended; safe to repeat.

        The new ledger has keys and a first policy as `init` makes them, run by the same
        organisation; what else this ledger's policy says is for people to take over.

        Args:
            path: Of the new ledger: a folder, or a URL as `init` takes it.
            despite_records: Whether to end a log that keeps streams: nobody can be erased from
                them afterwards, as erasures are stated in it.

        Raises:
            RefusedError: it keeps streams.
            ConflictError: this log goes on elsewhere already, the new place holds a ledger with
                entries, or somebody writes to a folder of one of them.
            UnavailableError: a disk or a database refuses, the log's key is not on this machine, or
                the log lives behind a server.
        """
        if not despite_records and streams_of(self).ids():
            raise RefusedError(
                f"the log in {self.engine.name} keeps records, and nobody could be erased from it "
                "once it has ended",
                reasons=("there are streams of decisions",),
                hint="Go on in a new ledger, and end this one when nothing is left to erase.",
            )
        organisation = self.policy.show().log.operator
        # What would refuse does so before anything is made for the new one.
        self.refresh()
        following_key = shard_after(self)
        if following_key is None:
            load_log_key(self.places, self.keys, self.disk)
            with contextlib.suppress(EndedError), self.alone():
                pass
        elif not _holds_log(path):
            raise EndedError(self.origin, following_key.name)
        _make_log(path, self.clock, self.random)
        with _open(path, None, self.clock, self.random) as following:
            hand_over_to(self, following)
        return init(path, organisation=organisation, clock=self.clock, random=self.random)

    def add_principal(self, name: str) -> VerifierKey:
        """Make a local key for a principal and return its public half, for the policy.

        Raises:
            ConflictError: there is one of that name.
            FormatError: it is no name for one.
        """
        return make_principal_key(self.places, name)


def init(
    path: str | Path,
    *,
    organisation: str = "this organisation",
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> Ledger:
    """Make a ledger with its keys, a local witness and a policy in observe mode; safe to repeat.

    Args:
        path: The ledger's folder, or a URL as `open_ledger` takes it. Keys, witness and the adopted
            policy go elsewhere: see `ledger.places`.
        organisation: Who operates it, as verdicts will say.
        clock: POSIX time in seconds.
        random: Gives that many random bytes.

    Raises:
        ConflictError: the folder holds something that is no whole ledger.
        FormatError: the path is empty, or the organisation is no line of printable text.
        UnavailableError: the disk refuses.
    """
    check_text(organisation, "organisation")
    _make_log(path, clock, random)
    ledger = _open(path, None, clock, random)
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
    trust: str | Path | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> Ledger:
    """Open a ledger that exists; exported as `counterfoil.open`.

    A ledger elsewhere is believed in nothing: all that it gives was verified against the adopted
    trust policy and the checkpoint seen last. So is a copy of one, a site in a folder, which can
    only be read.

    Args:
        url: Its folder, or `https://…` (`http://` to this machine alone); or
            `postgresql://…?tiles=…`, where it is shared by several machines.
        trust: Of a ledger elsewhere that was not opened here before: its trust policy, which is
            adopted once the ledger has proven to be the one that it names.
        clock: POSIX time in seconds.
        random: Gives that many random bytes.

    Raises:
        FormatError: there is none there; names `init`.
        PolicyError: no trust policy was adopted for a ledger elsewhere, or it asks for more.
        UnavailableError: the server or the database does not answer, or the extra `postgres` is
            missing.
        VerificationError: what a ledger elsewhere shows is not true.
    """
    ledger = _open(url, trust, clock, random)
    # An erasure that a crash interrupted is finished first; if somebody else writes, it is theirs.
    with contextlib.suppress(ConflictError):
        _finish_erasures(ledger)
    return ledger


def _finish_erasures(ledger: Ledger) -> None:
    """Finish erasures that were interrupted; where that cannot be, opening goes on and says so."""
    try:
        finished = ledger.people.finish()
        again = ledger.people.destroy_again()
    except UnfinishedError as error:
        warnings.warn(f"{error}. {error.hint}", ErasureWarning, stacklevel=callers_level())
        return
    if finished:
        records = sum(len(one.leaves) for one in finished)
        count = f"{records} record{'s are' if records != 1 else ' is'}"
        warnings.warn(
            f"finished an erasure that was interrupted: {count} destroyed, and the "
            "log states it. `counterfoil person erasures` lists the certificates",
            ErasureWarning,
            stacklevel=callers_level(),
        )
    if again:
        were, are = ("s were", "are") if again != 1 else (" was", "is")
        warnings.warn(
            f"{again} erased record{were} here again, from an older copy that was put in place, "
            f"and {are} destroyed again, as the certificates say: `counterfoil person erasures`",
            ErasureWarning,
            stacklevel=callers_level(),
        )


def move_log(
    source: str | Path, target: str | Path, progress: Progress | None = None
) -> cluster.Moved:
    """Move a ledger to PostgreSQL and an object store, or back; see `cluster.move_log`."""
    return cluster.move_log(source, target, carrying, progress)


def import_lost(
    site: str | Path,
    folder: Path,
    private_from: str,
    *,
    trust: str | Path | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Make a log's ledger again of its site, and of its database, which was set back.

    All that is private moves out of the database into the folder, as far as it was kept there.

    Args:
        site: Where all is that was published; see `import_site`.
        folder: Where the ledger is to be; must be missing or empty.
        private_from: Address of the database.
        trust: As `import_site`.
        progress: As `import_site`.

    Raises:
        ConflictError: the database holds another log, or was not set back; somebody records there.
        As `import_site`.
    """

    @contextlib.contextmanager
    def bringing(log: Log, place: Path) -> Iterator[Callable[[], None]]:
        left = cluster.Cluster(private_from, Disk())
        if left.keys.name != log.origin:
            raise ConflictError(
                f"{left.name} holds another log, {left.keys.name}, than the site",
                hint=f"Name the database that {log.origin} was in.",
            )
        if left.moved_to() or left.reached() >= log.size:
            raise ConflictError(
                f"{left.name} was not set back: it is not behind the site",
                hint="Go on with it, or move it: `counterfoil log move`.",
            )
        with carrying(log.origin, left.keeping, place) as carry:
            yield carry

    return import_site(
        site, folder, trust=trust, original_is_lost=True, bringing=bringing, progress=progress
    )


def _open(
    url: str | Path,
    trust: str | Path | None,
    clock: Callable[[], float],
    random: Callable[[int], bytes],
) -> Ledger:
    if is_site(url):
        site = open_site(url, trust=trust)
        return Ledger(site.folder, engine=site, clock=clock, random=random)
    if isinstance(url, str) and is_url(url):
        cluster.show_address(url)  # what is no address at all is said first
    if trust is not None:
        raise FormatError(
            "this is a ledger of your own, and goes by the policy adopted for it",
            hint="`counterfoil policy adopt FILE` states another one.",
        )
    if isinstance(url, str) and is_url(url):
        shared = cluster.Cluster(url, Disk())
        return Ledger(shared.folder, engine=shared, clock=clock, random=random)
    return Ledger(as_path(url), clock=clock, random=random)


def _make_log(path: str | Path, clock: Callable[[], float], random: Callable[[int], bytes]) -> None:
    """Make an empty log with its keys, unless there is one."""
    # If we stop before the log is made, the keys are of no ledger, and the next try makes new ones
    # under another origin.
    if isinstance(path, str) and is_url(path):
        if not _holds_log(path):
            name = urllib.parse.urlsplit(path).path
            cluster.create_log(path, lambda: _make_keys(name, clock, random))
        return
    folder = as_path(path)
    # First of all: where there can be no folder, no keys are made for it.
    with reported(f"cannot make a ledger in {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    if not _holds_log(folder):
        Log.create(folder, _make_keys(folder.absolute().name, clock, random))


def _holds_log(path: str | Path) -> bool:
    if isinstance(path, str) and is_url(path):
        return cluster.holds_log(path)
    return (as_path(path) / "ledger.json").exists()


def _make_keys(name: str, clock: Callable[[], float], random: Callable[[int], bytes]) -> Signer:
    """Make the keys of a new log, and its local witness; return the log's own."""
    name = name.lower()[:_READABLE_CHARACTERS]
    readable = "".join(c if c.isalnum() and c.isascii() else "-" for c in name).strip("-")
    origin = f"counterfoil.local/{readable or 'ledger'}-{random(4).hex()}"
    signer = generate_key(origin, Algorithm.ED25519)
    places = Places(origin)
    save_key(places.keys / "log.pem", signer)
    for one in (OPERATOR, TICKET_KEY):
        save_key(places.keys / f"{one}.pem", generate_key(one, Algorithm.ED25519))
    witness = generate_key("witness.local", Algorithm.COSIGNATURE_ED25519)
    save_key(places.witness / "key.pem", witness)
    LocalWitness(places.witness, witness, clock=clock).know(signer.key)
    return signer


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
