"""Making an empty log on PostgreSQL."""

from __future__ import annotations

from counterfoil.cluster import state
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.cluster.schema import migrate
from counterfoil.cluster.tiletree import Head
from counterfoil.core.checkpoint import Checkpoint, LogKeys, sign_checkpoint
from counterfoil.core.keys import Signer
from counterfoil.core.merkle import EMPTY_ROOT


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


def create_log(url: str, signer: Signer) -> None:
    """Make an empty log; the name of the signer's key is its origin.

    Raises:
        ConflictError: there is one already, in this schema.
        FormatError: the URL is no address of a log.
        UnavailableError: the database does not answer.
    """
    database = Database(parse_address(url))
    try:
        migrate(database)
        note = sign_checkpoint(Checkpoint(signer.key.name, 0, EMPTY_ROOT), signer)
        with database.transaction("making the log") as connection:
            state.create_rows(connection, LogKeys(signer.key), Head(0, EMPTY_ROOT, note))
    finally:
        database.close()
