"""Stream declarations: what a system promises about its stream, once and for all.

A system declares its stream in a statement of the log. The SHA-256 of that statement's payload is
the stream's id, S; records, batches and tickets name it, and so every promise in it.

Source:
    docs/reference/streams.md, "Stream statement".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from counterfoil.core.canonical import JsonValue, check_integer
from counterfoil.core.keys import VerifierKey, check_key_name, format_vkey, parse_vkey
from counterfoil.core.merkle import HASH_BYTES, Hash, as_hash
from counterfoil.core.record import check_fields, pad_row
from counterfoil.core.statement import (
    SHA256,
    Statement,
    Subject,
    check_form,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.core.text import parse_hex, shown
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError

MAX_TICKET_KEYS = 16
"""Keys that may sign a stream's tickets: a few machines and their successors."""

MAX_SYSTEM_CHARACTERS = 128
"""Characters of a system's name, which people read in reports."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The stream that a new one takes the place of, and the state it was left in.

    Args:
        stream: Its id, 32 bytes.
        size: Records it had at the end.
        root: Its last root, 32 bytes.
    """

    stream: Hash
    size: int
    root: Hash

    def __post_init__(self) -> None:
        as_hash(self.stream, "id of the replaced stream")
        as_hash(self.root, "root of the replaced stream")
        check_integer(self.size, "size of the replaced stream")


@dataclass(frozen=True, slots=True)
class StreamDeclaration:
    """What a system promises about its stream, once and for all.

    Args:
        log: Origin of the log that receives the batches.
        system: Name of the system that writes; the policy says who may declare streams for it.
        nonce: 32 random bytes, so that two streams never have one id.
        fields: Names of the fields of every record, in order.
        max_delay_s: Seconds after which a record that is due must be in a batch in the log.
        cadence_s: Seconds between batches; None promises no rhythm, and silence proves nothing.
        pad_to: Every batch's size is a multiple of this; 1 hides nothing.
        ticket_keys: Keys that may sign tickets.
        replaces: The stream before this one, if there was one.

    Attributes:
        stream_id: S, the SHA-256 of the stream statement's payload.
    """

    log: str
    system: str
    nonce: bytes
    fields: tuple[str, ...]
    max_delay_s: int
    cadence_s: int | None = None
    pad_to: int = 1
    ticket_keys: tuple[VerifierKey, ...] = ()
    replaces: Replaced | None = None
    stream_id: Hash = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_key_name(self.log)
        if not (1 <= len(self.system) <= MAX_SYSTEM_CHARACTERS and self.system.isprintable()):
            raise FormatError(
                f"{shown(self.system)} cannot be the name of a system",
                hint=f"Use 1 to {MAX_SYSTEM_CHARACTERS} printable characters.",
            )
        as_hash(self.nonce, "nonce of a stream")
        check_fields(self.fields)
        check_integer(self.max_delay_s, "max_delay_s")
        check_integer(self.pad_to, "pad_to", 1)
        if self.cadence_s is not None:
            check_integer(self.cadence_s, "cadence_s", 1)
        if self.pad_to > 1:
            pad_row(self.fields)
        labels = {key.label for key in self.ticket_keys}
        if len(labels) != len(self.ticket_keys) or len(labels) > MAX_TICKET_KEYS:
            raise FormatError(
                f"a stream has at most {MAX_TICKET_KEYS} ticket keys, each once",
                hint="A few suffice: one for each machine that answers.",
            )
        digest = sha256(format_statement(self.statement)).digest()
        object.__setattr__(self, "stream_id", Hash(digest))

    @property
    def statement(self) -> Statement:
        """The stream statement. A system has no bytes to hash; its name is hashed for it."""
        replaces: JsonValue = None
        if self.replaces is not None:
            replaces = {
                "stream": self.replaces.stream.hex(),
                "size": self.replaces.size,
                "root": self.replaces.root.hex(),
            }
        return Statement(
            (Subject(self.system, {SHA256: sha256(self.system.encode()).hexdigest()}),),
            predicate_type("stream"),
            {
                "log": self.log,
                "system": self.system,
                "nonce": self.nonce.hex(),
                "fields": list(self.fields),
                "cadence_s": self.cadence_s,
                "max_delay_s": self.max_delay_s,
                "pad_to": self.pad_to,
                "ticket_keys": [format_vkey(key) for key in self.ticket_keys],
                "replaces": replaces,
            },
        )


def format_stream(declaration: StreamDeclaration) -> bytes:
    """Write a stream statement, the payload whose SHA-256 is the stream's id."""
    return format_statement(declaration.statement)


def parse_stream(payload: bytes) -> StreamDeclaration:
    """Read a stream statement; `format_stream` of the result is `payload`.

    Raises:
        FormatError: Not a stream statement in its one form.
    """
    statement = parse_statement(payload)
    declaration = Table(statement.predicate, "stream statement").read(_read_declaration)
    check_form(declaration.statement, payload, "stream statement")
    return declaration


def read_hash(table: Table, key: str) -> Hash:
    """Read a hash in hexadecimal."""
    return Hash(parse_hex(table.text(key), key, size=HASH_BYTES))


def _read_declaration(table: Table) -> StreamDeclaration:
    return StreamDeclaration(
        log=table.text("log"),
        system=table.text("system"),
        nonce=read_hash(table, "nonce"),
        fields=table.texts("fields"),
        max_delay_s=table.integer("max_delay_s"),
        cadence_s=None if table.values.get("cadence_s") is None else table.integer("cadence_s"),
        pad_to=table.integer("pad_to"),
        ticket_keys=tuple(parse_vkey(text) for text in table.texts("ticket_keys")),
        replaces=None
        if table.values.get("replaces") is None
        else table.inner("replaces", _read_replaced),
    )


def _read_replaced(table: Table) -> Replaced:
    return Replaced(read_hash(table, "stream"), table.integer("size"), read_hash(table, "root"))
