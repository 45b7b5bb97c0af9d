"""The tables, made and brought up to date by numbered migrations.

Each runs once, in one transaction, under a lock that all who migrate take. A database that a newer
version has migrated is refused.
"""

from __future__ import annotations

from importlib import resources

from psycopg import sql

from counterfoil.cluster.database import Connection, Database
from counterfoil.errors import ConflictError, FormatError

_LOCK = "counterfoil migrations"


def known_migrations() -> dict[int, str]:
    """Read the migrations of this version, by number."""
    folder = resources.files("counterfoil.cluster") / "migrations"
    found = {
        int(file.name.removesuffix(".sql")): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
    return dict(sorted(found.items()))


def migrate(database: Database, migrations: dict[int, str] | None = None) -> None:
    """Make the tables, or bring them up to date.

    Raises:
        ConflictError: a newer version has been here.
        UnavailableError: PostgreSQL refuses.
    """
    known = known_migrations() if migrations is None else migrations
    schema = sql.Identifier(database.address.schema)
    with database.transaction("making the tables") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (_LOCK,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY,"
            " at timestamptz NOT NULL DEFAULT now())"
        )
        done = _done(connection)
        _refuse_newer(database, done, max(known))
        for number, text in known.items():
            if number > done:
                connection.execute(text.encode())
                connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))


def is_outdated(database: Database, connection: Connection) -> bool:
    """Whether the tables have to be brought up to date.

    Raises:
        ConflictError: they are newer than this version.
        FormatError: there are none.
    """
    row = connection.execute("SELECT to_regclass('migrations')").fetchone()
    if row == (None,):
        raise no_ledger(database)
    newest, done = max(known_migrations()), _done(connection)
    _refuse_newer(database, done, newest)
    return done < newest


def no_ledger(database: Database) -> FormatError:
    """Say of a place that nobody has made a ledger there, or moved one to it."""
    return FormatError(
        f"there is no ledger in {database.address.name}",
        hint="Make one with `counterfoil init`, or move one there with `counterfoil log move`; if "
        "a move was broken off, repeat it as it was typed.",
    )


def _done(connection: Connection) -> int:
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    assert row is not None  # noqa: S101 an aggregate always has one row
    return int(row[0])


def _refuse_newer(database: Database, done: int, known: int) -> None:
    if done > known:
        raise ConflictError(
            f"{database.address.name} has tables of version {done}, and this counterfoil knows "
            f"them up to {known}",
            hint="Install the version that wrote there last.",
        )
