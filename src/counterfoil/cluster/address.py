"""Where a log on PostgreSQL is, read from one URL.

    postgresql://user@host/database?tiles=s3://bucket/prefix&schema=name

What stands before the question mark, and what libpq knows of what stands behind it, is PostgreSQL's
own; a password may also come from where libpq finds it (`PGPASSWORD`, `~/.pgpass`). Messages name
host, database, and the schema, where it is another than the default.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict

from counterfoil.errors import FormatError

SCHEMES = ("postgresql://", "postgres://")
DEFAULT_SCHEMA = "counterfoil"
_MAX_URL_CHARACTERS = 2_000  # of one address
_MAX_OPTIONS = 20  # behind its question mark
# What may stand there besides our own two; the rest of libpq's are set here, or make no sense.
_PASSED_ON = {
    "application_name",
    "channel_binding",
    "gssencmode",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
}
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._=-]+)*/?")
_HINT = "It looks like postgresql://user@host/database?tiles=s3://bucket/prefix."


@dataclass(frozen=True, slots=True)
class Address:
    """Where a log is.

    Args:
        conninfo: What libpq is given; with the password, if there is one.
        tiles: The object store: `s3://bucket/prefix` or `file:///folder`.
        schema: The PostgreSQL schema that holds the tables; one log has one.
    """

    conninfo: dict[str, str] = field(repr=False)
    tiles: str
    schema: str

    @property
    def name(self) -> str:
        """What messages call it."""
        schema = "" if self.schema == DEFAULT_SCHEMA else f"?schema={self.schema}"
        return f"{self._database}{schema}"

    @property
    def url(self) -> str:
        """The same with its user and without a password, to write down and to give again."""
        schema = "" if self.schema == DEFAULT_SCHEMA else f"&schema={self.schema}"
        user = urllib.parse.quote(self.conninfo.get("user", ""), safe="")
        database = self._database
        if user:
            database = database.replace("://", f"://{user}@", 1)
        return f"{database}?tiles={self.tiles}{schema}"

    @property
    def _database(self) -> str:
        """Host and database."""
        host, port = self.conninfo.get("host", ""), self.conninfo.get("port", "")
        where = urllib.parse.quote(host, safe=",.:[]") + (f":{port}" if port else "")
        return f"postgresql://{where}/{urllib.parse.quote(self.conninfo.get('dbname', ''))}"

    def conceal(self, text: str) -> str:
        """Take the password out of a message of somebody else's."""
        password = self.conninfo.get("password")
        return text.replace(password, "…") if password else text


def is_address(text: object) -> bool:
    """Whether this is meant for an address of this kind."""
    return isinstance(text, str) and text.startswith(SCHEMES)


def show_address(url: str) -> str:
    """Write an address down without its password.

    Raises:
        FormatError: it is none.
    """
    return parse_address(url).url


def parse_address(url: str) -> Address:
    """Read an address.

    Raises:
        FormatError: it is none; the message repeats nothing of it that may be secret.
    """
    base, _, query = url.partition("?")
    if not is_address(url) or len(url) > _MAX_URL_CHARACTERS or not url.isprintable():
        raise FormatError(
            "this is no address of a log on PostgreSQL",
            hint=f"{_HINT} A ledger behind a server is at https://…",
        )
    try:
        pairs = urllib.parse.parse_qsl(query, strict_parsing=True, max_num_fields=_MAX_OPTIONS)
        given = dict(pairs)
        found = conninfo_to_dict(base)
    except (ValueError, psycopg.Error):
        # Whatever it was, it may have the password in it.
        raise FormatError(
            "the address of the log on PostgreSQL cannot be read", hint=_HINT
        ) from None
    if len(given) != len(pairs):
        raise FormatError("the address says one thing twice", hint=_HINT)
    tiles = given.pop("tiles", "")
    schema = given.pop("schema", DEFAULT_SCHEMA)
    unknown = sorted(given.keys() - _PASSED_ON)
    if unknown:
        raise FormatError(
            f"the address has an option that is not known here: {unknown[0][:40]}",
            hint=f"Known are tiles, schema, {', '.join(sorted(_PASSED_ON))}.",
        )
    if not _SCHEMA.fullmatch(schema):
        raise FormatError(
            f"{schema[:60]!r} cannot be the schema of a log",
            hint="It has 1 to 40 characters: small letters, digits and _, no digit first.",
        )
    conninfo = {key: str(value) for key, value in found.items() if value is not None}
    return Address({**conninfo, **given}, _check_tiles(tiles), schema)


def _check_tiles(tiles: str) -> str:
    if not tiles:
        raise FormatError(
            "the address does not say where the tiles are",
            hint="End it with ?tiles=s3://bucket/prefix, or ?tiles=file:///folder.",
        )
    parts = tiles.split("/")
    is_folder = tiles.startswith("file:///") and len(tiles) > len("file:///")
    if not (is_folder or _S3.fullmatch(tiles)) or {".", ".."} & set(parts):
        raise FormatError(
            f"tiles cannot be at {tiles[:100]}",
            hint="Give s3://bucket/prefix, or an absolute folder as file:///folder.",
        )
    return tiles.rstrip("/")
