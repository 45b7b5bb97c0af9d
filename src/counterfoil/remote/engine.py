"""The engine of a ledger elsewhere: read from a server that is believed in nothing, or from a copy.

`Remote` reads a server's site, and appends by asking the server. `Copy` reads a site in a folder of
this machine, such as a mirror, and appends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.keys import Algorithm, Signer
from counterfoil.core.policy import TrustPolicy
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.disk import Disk, as_path, is_url, reported
from counterfoil.ledger.engine import Writer, Writers
from counterfoil.ledger.identity import IDENTITY_FILE, read_identity
from counterfoil.ledger.index import Read, Resolve, Root
from counterfoil.ledger.keyfiles import load_key, load_vkey
from counterfoil.ledger.places import Places
from counterfoil.ledger.signedrequests import sign_request
from counterfoil.remote.address import check_address, folder_of, is_address
from counterfoil.remote.beside import RemoteBlobs, refuse_writing
from counterfoil.remote.client import APPEND_WITHIN_S, READ_WITHIN_S, Client
from counterfoil.remote.follow import SETTLE_WITHIN_S, Follower
from counterfoil.remote.memory import Memory
from counterfoil.remote.sitetree import SiteTree
from counterfoil.remote.source import (
    CHECKPOINT,
    FallbackSource,
    FolderSource,
    HttpSource,
    Source,
)
from counterfoil.remote.tilecache import TileCache
from counterfoil.remote.trusted import Trusted, find_trusted
from counterfoil.remote.writer import RemoteWriter

_OPERATOR = "operator"
_SIGNATURES = "\n\n— ".encode()  # where those of a note begin
_HEAD_BYTES = 1_024  # of a checkpoint, which begins with three short lines


class SiteEngine:
    """A log in a tlog-tiles site, read and never believed.

    Args:
        source: Where its files come from.
        folder: Of this machine: what is remembered of it, and what is private to its user here.
        address: Where it is, as the memory notes it.
        first: A mirror of the site: what it has and holds is not asked for again, and what it
            shows is compared.
        trust: The user's policy; None for the adopted one.
        adopts: Whether that policy is adopted once the log has proven to be the one it names.
        disk: How to write and sync.
        settle_within_s: See `follow.SETTLE_WITHIN_S`.

    Raises:
        PolicyError: there is no policy to read it by, or it is of another ledger.
        UnavailableError: the site does not answer.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        address: str,
        *,
        first: Path | None = None,
        trust: str | Path | TrustPolicy | None = None,
        adopts: bool = True,
        disk: Disk | None = None,
        settle_within_s: float = SETTLE_WITHIN_S,
    ) -> None:
        if first is not None:
            source = FallbackSource(FolderSource(first), source)
        self.folder = folder
        self._source, self._address, self._disk = source, address, disk or Disk()
        self._memory = Memory(folder, self._disk)
        try:
            self._trusted: Trusted = find_trusted(source, self._memory.key(), trust, adopts=adopts)
        except BaseException:
            source.close()
            raise
        self.name = source.name
        self.blobs = RemoteBlobs(source)
        self.keeping = None
        self.witnesses = Witnesses(self.keys, self._trusted.places)
        self._tree = SiteTree(source, folder, TileCache(None))
        self._follower = Follower(
            source, self._memory, self._policy, settle_within_s=settle_within_s, mirror=first
        )

    is_shared = True
    """Whoever appends asks the server, which puts all in one order."""

    writers = Writers.NOBODY
    """A copy is read."""

    @property
    def keys(self) -> LogKeys:
        """The log's, as the trust policy names them now."""
        return self._policy().log.keys

    @property
    def tree(self) -> SiteTree:
        """What was opened by `read`."""
        return self._tree

    def read(self) -> SiteTree:
        """Open the newest checkpoint that holds."""
        tree = SiteTree(
            self._source, self.folder, TileCache(self.folder / "tiles"), self._follower.follow
        )
        try:
            tree.refresh()
            # Only now, as it holds: from here on this is whose ledger is meant by this address.
            self._memory.keep_key(self.keys.key, self._address)
            self._trusted.adopt(self._disk)
        except BaseException:
            tree.close()
            raise
        self._tree = tree
        return tree

    def shared_index(self, read: Read, resolve: Resolve, root: Root) -> None:
        """Have none: what a server finds, it may have left something out of."""

    def moved_to(self) -> str:
        """Tell nothing: a site does not say."""
        return ""

    def shown(self) -> bytes:
        """Keep none besides: what was seen last is compared with each new checkpoint."""
        return b""

    def reached(self) -> None:
        """Tell nothing besides what `read` gives."""

    def require_writable(self) -> None:
        """Refuse: a copy is read."""
        raise refuse_writing(self._source.name)

    def write(self) -> Writer:
        """Refuse likewise."""
        raise refuse_writing(self._source.name)

    def _policy(self) -> TrustPolicy:
        return self._trusted.policy()


class Remote(SiteEngine):
    """A ledger at an address.

    Args:
        url: `https://…`, or `http://` to this machine.
        first: As `SiteEngine` has it.
        trust: A trust policy from the user, for the first time; None for the adopted one.
        adopts: As `SiteEngine` has it.
        disk: How to write and sync.
        read_within_s: See `client.READ_WITHIN_S`.
        append_within_s: See `client.APPEND_WITHIN_S`.
        settle_within_s: See `follow.SETTLE_WITHIN_S`.

    Raises:
        FormatError: the address is none.
        As `SiteEngine`.
    """

    writers = Writers.SERVER
    """It is asked."""

    def __init__(
        self,
        url: str,
        *,
        first: Path | None = None,
        trust: str | Path | TrustPolicy | None = None,
        adopts: bool = True,
        disk: Disk | None = None,
        read_within_s: float = READ_WITHIN_S,
        append_within_s: float = APPEND_WITHIN_S,
        settle_within_s: float = SETTLE_WITHIN_S,
    ) -> None:
        url = check_address(url)
        self._signer: Signer | None = None
        self._client = Client(
            url,
            sign=self._signed,
            lacking=self._lacking,
            read_within_s=read_within_s,
            append_within_s=append_within_s,
        )
        super().__init__(
            HttpSource(self._client),
            folder_of(url),
            url,
            first=first,
            trust=trust,
            adopts=adopts,
            disk=disk,
            settle_within_s=settle_within_s,
        )

    def require_writable(self) -> None:
        """Let the server say what it takes, when it is asked."""

    def write(self) -> Writer:
        """Append by asking the server; readers see the same tree."""
        return RemoteWriter(self._client, self._policy, self._tree, self._follower, self.blobs)

    def _signed(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        """Sign a request with the key of a principal of this machine, where there is one."""
        signer = self._caller()
        if signer is None:
            return dict(headers)
        return sign_request(signer, method, url, headers, body)

    def _lacking(self) -> str:
        """Say why this machine signs no requests to this ledger; empty where it does."""
        trust = f"`counterfoil policy trust FILE --at {self._client.url}"
        trusted: Trusted | None = getattr(self, "_trusted", None)
        if trusted is None:
            return (
                "The request was not signed: which log is there is not known here yet. Run "
                f"{trust}` with its trust.toml; --key NAME makes a key, for that policy to name."
            )
        if self._caller() is not None:
            return ""
        here = ", ".join(sorted(path.stem for path in trusted.places.keys.glob("*.pem")))
        if not here:
            return (
                "The request was not signed: no key of a principal of that log is on this machine. "
                f"{trust} --key NAME` makes one; whoever writes that policy has to name it."
            )
        return (
            f"The request was not signed: the policy that you trust (version "
            f"{trusted.policy().version}) names none of the keys on this machine: {here}. Have "
            f"one named, then run {trust}` with the new trust.toml."
        )

    def _caller(self) -> Signer | None:
        trusted: Trusted | None = getattr(self, "_trusted", None)
        if self._signer is None and trusted is not None:
            self._signer = find_caller(trusted.places, trusted.policy())
        return self._signer


def find_caller(places: Places, policy: TrustPolicy) -> Signer | None:
    """Find who calls a server from this machine: the operator, else the first principal here.

    Args:
        places: Where keys for this log lie.
        policy: Whose principals a server of the log answers to.
    """
    names = sorted(policy.principals, key=lambda one: (one.name != _OPERATOR, one.name))
    for principal in names:
        path = places.key(principal.name)
        if path.exists():
            key = load_vkey(path.with_suffix(".vkey"))
            if key.algorithm is Algorithm.ED25519 and key in principal.keys:
                return load_key(path)
    return None


def open_site(
    where: str | Path,
    *,
    first: Path | None = None,
    trust: str | Path | TrustPolicy | None = None,
    adopts: bool = True,
) -> SiteEngine:
    """Open a site at an address, or in a folder: one that was exported, or a mirror.

    Args:
        where: Address or folder.
        first: As `SiteEngine` has it.
        trust: As `SiteEngine` has it.
        adopts: Likewise.

    Raises:
        As `Remote`.
    """
    if isinstance(where, str) and is_url(where):
        return Remote(where, first=first, trust=trust, adopts=adopts)
    folder = as_path(where)
    address = folder.absolute().as_uri()
    return SiteEngine(
        FolderSource(folder), folder_of(address), address, first=first, trust=trust, adopts=adopts
    )


def is_site(where: str | Path) -> bool:
    """Tell an address, or a folder with a site, from a folder with a ledger."""
    return (isinstance(where, str) and is_address(where)) or is_copy(as_path(where))


def origin_at(where: str | Path) -> str | None:
    """Tell which log was opened before at an address or in a folder; None where that is not known.

    Raises:
        FormatError: what is remembered of it is damaged.
    """
    if isinstance(where, str) and is_address(where):
        folder = folder_of(check_address(where))
    elif is_url(where):
        return None  # another engine's
    elif (as_path(where) / IDENTITY_FILE).exists():
        return read_identity(as_path(where)).name
    else:
        folder = folder_of(as_path(where).absolute().as_uri())
    key = Memory(folder, Disk()).key()
    return None if key is None else key.name


def is_copy(folder: Path) -> bool:
    """Tell a folder that holds a site from one that holds a ledger, or anything else.

    Other programs call files `checkpoint`, too: beside one that is of a log there are tiles, or it
    is a signed note.
    """
    path = folder / CHECKPOINT
    with reported(f"cannot look at {folder}"):
        if not path.is_file() or (folder / IDENTITY_FILE).exists():
            return False
        if (folder / "tile").is_dir():
            return True
        with path.open("rb") as file:
            return _SIGNATURES in file.read(_HEAD_BYTES)
