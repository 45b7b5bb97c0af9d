"""Where things lie that must not lie in the ledger's folder: keys, the witness, trusted policies.

    home()                      $COUNTERFOIL_HOME, or ~/.counterfoil; 0700
      keys/<slug>/              private keys of the log and of local principals
      vault/<slug>/             wrapping keys of the vault
      witness/<slug>/           the local witness: its key and what it cosigned last
      witnessing/<name>/        our witnesses of other logs (see `ownwitness`)
      objections/<slug>.json    what witnesses of others said when they refused
      anchoring/<slug>/         what is being anchored, and who has signed it so far
      cluster/<slug>/           what is private of a log on PostgreSQL, on this machine
      moved/<slug>.json         where the log went, if it left for PostgreSQL from this machine
      index/<slug>.sqlite       which entries say what; made again when it is missing
      trust/<slug>.toml         the trust policy this user adopted for that log
      split-view/<slug>/        checkpoints of that log that cannot all be honest
      remote/<address>/         what was seen of ledgers elsewhere, and what is private to us there
      monitor/<slug>.json       how far a monitor is, and what it has still to tell
      accounts/, chain/         on EVM chains: keys of accounts, transactions under way

The slug is made from the log's origin, so two folders that claim one origin share a witness, and
it sees them both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.keys import Algorithm, VerifierKey
from counterfoil.core.principals import check_name
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger.disk import reported
from counterfoil.ledger.keyfiles import generate_key, home, home_path, save_key

WITNESSED_DIGITS = 32  # of the hash of a log's origin, in the names of a witness's files


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that belong to one log, by its origin."""

    origin: str

    @property
    def slug(self) -> str:
        """A file name for the origin: readable, and unlike that of any other origin."""
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", self.origin).strip("-.")[:40]
        return f"{readable}-{sha256(self.origin.encode()).hexdigest()[:12]}"

    @property
    def keys(self) -> Path:
        """Private keys."""
        return home() / "keys" / self.slug

    def key(self, principal: str) -> Path:
        """The private key of a local principal.

        Raises:
            FormatError: `principal` is no name of one, and might lead elsewhere.
        """
        return self.keys / f"{file_name(principal, 'principal')}.pem"

    @property
    def vault_keys(self) -> Path:
        """Wrapping keys of the vault."""
        return home() / "vault" / self.slug

    @property
    def witness(self) -> Path:
        """The local witness."""
        return home() / "witness" / self.slug

    @property
    def objections(self) -> Path:
        """What witnesses of others object to, until they cosign again."""
        return home() / "objections" / f"{self.slug}.json"

    @property
    def anchoring(self) -> Path:
        """What is being anchored, and who has signed it so far."""
        return home() / "anchoring" / self.slug

    @property
    def cluster(self) -> Path:
        """What this machine keeps of a log that lives on PostgreSQL."""
        return home() / "cluster" / self.slug

    @property
    def moved(self) -> Path:
        """The mark that the log is in no folder of this machine any more."""
        return home() / "moved" / f"{self.slug}.json"

    @property
    def index(self) -> Path:
        """The index of the log; it can always be made again."""
        return home() / "index" / f"{self.slug}.sqlite"

    @property
    def trust(self) -> Path:
        """The adopted trust policy."""
        return home() / "trust" / f"{self.slug}.toml"

    def adopted(self) -> Path | None:
        """Find the adopted trust policy; whoever has no home has adopted none, and needs none.

        Raises:
            RefusedError: others may write where it lies.
            UnavailableError: one cannot look there.
        """
        try:
            folder = home_path()
        except UnavailableError:
            return None
        with reported(f"cannot look for an adopted policy in {folder}"):
            return self.trust if folder.exists() and self.trust.exists() else None

    @property
    def split_view(self) -> Path:
        """Checkpoints of the log that cannot all be honest; whoever looks for them makes no home.

        Raises:
            UnavailableError: this user has no home directory.
        """
        return home_path() / "split-view" / self.slug

    def witnessing(self, ending: str) -> list[Path]:
        """What witnesses of ours keep of the log, in files or folders that end so.

        Raises:
            UnavailableError: this user has no home directory.
        """
        name = f"{witnessed_name(self.origin)}{ending}"
        return sorted((home_path() / "witnessing").glob(f"*/{name}"))


def witnessed_name(origin: str) -> str:
    """Give the name, without its ending, of the files that a witness has of a log."""
    return sha256(origin.encode()).hexdigest()[:WITNESSED_DIGITS]


def make_principal_key(places: Places, name: str) -> VerifierKey:
    """Make a local key for a principal and return its public half, for the policy.

    Raises:
        ConflictError: there is one of that name.
        FormatError: it is no name for one.
    """
    path = places.key(name)
    key = generate_key(name, Algorithm.ED25519)
    save_key(path, key)
    return key.key


def file_name(name: str, what: str) -> str:
    """Give a name back if it can be that of a file in a folder of ours.

    Raises:
        FormatError: it is no name, or might lead elsewhere.
    """
    check_name(name, what)
    if "/" in name or name.startswith("."):
        raise FormatError(
            f"{name!r} cannot be the name of a {what} on this machine",
            hint="It names a file: no /, and no dot at its beginning.",
        )
    return name
