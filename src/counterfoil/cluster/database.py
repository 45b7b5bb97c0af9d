"""PostgreSQL, as a log uses it: bounded in connections and in time, and its refusals as ours.

A session is alone on its connection: an advisory lock and a subscription belong to it, so a pooler
that hands one connection to several clients (PgBouncer by transactions) cannot stand between.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from counterfoil.cluster.address import Address
from counterfoil.errors import ConflictError, FormatError, UnavailableError
from counterfoil.ledger.waits import waiting_for

CONNECT_WITHIN_S = 5
"""Time to get a connection."""

QUERY_WITHIN_S = 15
"""Time for a query, by the server's clock; also for a transaction that is left standing."""

LOCK_WITHIN_S = 5
"""Time that a query waits for a lock."""

_MAX_CONNECTIONS = 4  # of one pool
_MAX_IDLE_S = 60.0  # until a connection that nobody uses is closed
_MAX_REASON_CHARACTERS = 300  # of the server's words that a message repeats
# A peer that is gone without a word is noticed after some ten seconds.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# What is said of tables of our names that are somebody else's, or of a backup half restored.
_OTHERS_TABLES = (
    errors.UndefinedTable,
    errors.InvalidSchemaName,
    errors.DuplicateTable,
    errors.DuplicateObject,
    errors.DuplicateFunction,
    errors.UndefinedColumn,
)

Connection = psycopg.Connection[Any]

# What psycopg has to say reaches a program that wants to hear it, and nobody's terminal: what it
# means for a caller is said by our own errors.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class Database:
    """Connections to the database of one log. May be used by several threads.

    Args:
        address: Where it is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        settings = {
            "search_path": address.schema,
            "statement_timeout": QUERY_WITHIN_S * 1000,
            "idle_in_transaction_session_timeout": QUERY_WITHIN_S * 1000,
            "lock_timeout": LOCK_WITHIN_S * 1000,
            "client_encoding": "UTF8",
            # Tables of one row that nobody has analysed look large to the planner, and compiling
            # a query of a tenth of a millisecond takes 0.3 s, each time.
            "jit": "off",
            # So that the server lets go of the locks of a machine that died, too.
            "tcp_keepalives_idle": 5,
            "tcp_keepalives_interval": 2,
            "tcp_keepalives_count": 3,
        }
        self._arguments: dict[str, Any] = {
            "application_name": "counterfoil",
            **address.conninfo,
            **_KEEPALIVE,
            "connect_timeout": CONNECT_WITHIN_S,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        }
        self._pool: ConnectionPool[Connection] | None = None
        self._lock = threading.Lock()  # guards that there is one pool

    @contextlib.contextmanager
    def transaction(self, doing: str) -> Iterator[Connection]:
        """Borrow a connection for one transaction.

        Args:
            doing: What for; begins the message of an error.

        Raises:
            UnavailableError: PostgreSQL did not do it, or it is not known whether it did.
        """
        with self.connection(doing) as connection, connection.transaction():
            yield connection

    @contextlib.contextmanager
    def connection(self, doing: str) -> Iterator[Connection]:
        """Borrow a connection, which commits each query unless told otherwise."""
        with self.reported(doing), self._require_pool().connection() as connection:
            yield connection

    @contextlib.contextmanager
    def session(self, doing: str) -> Iterator[Connection]:
        """Open a connection as `connect`, for as long as it is used."""
        with self.reported(doing):
            connection = self.connect()
            try:
                yield connection
            finally:
                connection.close()

    @contextlib.contextmanager
    def reported(self, doing: str) -> Iterator[None]:
        """Turn PostgreSQL's refusal into ours."""
        try:
            yield
        except _OTHERS_TABLES as error:
            raise self.incomplete(f"{doing}: {self._said(error)}") from error
        except errors.IntegrityError as error:
            raise ConflictError(
                f"{self.address.name}: {doing}: {self._said(error)}",
                hint="Somebody else wrote first.",
            ) from error
        except psycopg.DataError as error:
            raise FormatError(
                f"{self.address.name}: {doing}: {self._said(error)}",
                hint="PostgreSQL holds no such value: a number is too large, or a text has a NUL.",
            ) from error
        except PoolTimeout as error:
            raise self._unavailable(doing, self._why(error)) from error
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg.InternalError,
            errors.InsufficientPrivilege,
        ) as error:
            raise self._unavailable(doing, error) from error

    def incomplete(self, why: str) -> ConflictError:
        """Say of a place that it does not have all that is a ledger's, or has something else."""
        return ConflictError(
            f"{self.address.name} has tables that are not, or not all, those of a ledger: {why}",
            hint="Name a schema of its own: …&schema=name. If a backup is being restored there, "
            "wait until that is done.",
        )

    def close(self) -> None:
        """Close the pool."""
        if self._pool is not None:
            self._pool.close(timeout=CONNECT_WITHIN_S)
            self._pool = None

    def connect(self) -> Connection:
        """Open a connection of one's own, which commits each query unless told otherwise.

        Raises:
            psycopg.Error: PostgreSQL does not let us; see `reported`.
        """
        with waiting_for(self.address.name):
            connection: Connection = psycopg.connect(**self._arguments, autocommit=True)
        try:
            _be_durable(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _why(self, error: PoolTimeout) -> Exception:
        """Find out why the pool has no connection to give: it does not say."""
        try:
            self.connect().close()
        except psycopg.Error as reason:
            return reason
        return error

    def _unavailable(self, doing: str, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"{self.address.name}: {doing}: {self._said(error)}",
            hint="Check the database and the way to it, then try again.",
        )

    def _require_pool(self) -> ConnectionPool[Connection]:
        """Give the pool, opened when it is first needed."""
        with self._lock:
            if self._pool is None:
                # A pool does not say why it cannot connect; this does, and at once.
                self.connect().close()
                self._pool = ConnectionPool(
                    kwargs=self._arguments | {"autocommit": True},
                    min_size=0,
                    max_size=_MAX_CONNECTIONS,
                    max_idle=_MAX_IDLE_S,
                    timeout=CONNECT_WITHIN_S,
                    check=ConnectionPool.check_connection,
                    configure=_be_durable,
                    reconnect_timeout=CONNECT_WITHIN_S,
                    num_workers=1,
                    open=True,
                )
            return self._pool

    def _said(self, error: Exception) -> str:
        said = " ".join(str(error).split()) or type(error).__name__
        return self.address.conceal(said)[:_MAX_REASON_CHARACTERS]


def _be_durable(connection: Connection) -> None:
    """Have a commit wait until it is on the disk, whatever the server's default is.

    Raises:
        psycopg.OperationalError: the server does not care for its disk at all.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'),"
            " current_setting('synchronous_commit')"
        )
        fsync, full_page_writes, commit = cursor.fetchone() or ("", "", "")
        if (fsync, full_page_writes) != ("on", "on"):
            raise psycopg.OperationalError(
                "the server runs with fsync or full_page_writes off, so nothing it says is durable"
            )
        if commit == "off":
            cursor.execute("SET synchronous_commit = on")
