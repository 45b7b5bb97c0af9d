"""Making an empty log on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from counterfoil.cluster import state
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.cluster.engine import open_objects
from counterfoil.cluster.objects import CHECKPOINT_PATH, MAX_CHECKPOINT_BYTES
from counterfoil.cluster.schema import migrate
from counterfoil.cluster.tiletree import Head
from counterfoil.core.checkpoint import Checkpoint, LogKeys, sign_checkpoint
from counterfoil.core.keys import Signer
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.errors import ConflictError
from counterfoil.ledger.disk import Disk


def holds_log(url: str) -> bool:
    """Whether there is a log; the tables are made if they are missing.

    Raises:
        ConflictError: a newer version made them.
        FormatError: the URL is no address of a log.
        UnavailableError: the database does not answer.
    """
    database = Database(parse_address(url))
    try:
        migrate(database)
        with database.transaction("looking for a log") as connection:
            return state.has_log(connection)
    finally:
        database.close()


def create_log(url: str, make_signer: Callable[[], Signer]) -> None:
    """Make an empty log; the name of the signer's key is its origin.

    Args:
        url: Where.
        make_signer: Makes the log's key, once the place has shown that it takes a log.

    Raises:
        ConflictError: there is one already, in this schema or where the tiles would go.
        FormatError: the URL is no address of a log.
        UnavailableError: the database, or the object store, does not answer.
    """
    address = parse_address(url)
    database = Database(address)
    try:
        migrate(database)
        objects = open_objects(address, Disk())
        if objects.get([CHECKPOINT_PATH], MAX_CHECKPOINT_BYTES) != [None]:
            raise ConflictError(
                f"{objects.name} holds the tiles of a log already",
                hint="Name another place for them: tiles=…",
            )
        signer = make_signer()
        note = sign_checkpoint(Checkpoint(signer.key.name, 0, EMPTY_ROOT), signer)
        with database.transaction("making the log") as connection:
            state.create_rows(connection, LogKeys(signer.key), Head(0, EMPTY_ROOT, note))
    finally:
        database.close()
