r"""Records of a stream: fields behind commitments, each of which can be shown on its own.

    D_i = base64url([salt, name, value])         the disclosure: what can be shown
    d_i = SHA-256(D_i)                           the commitment: what is kept
    R   = "counterfoil/record/v1\n" ‖ S ‖ d_0 ‖ … ‖ d_(n-1)

S is the stream's id. The leaf, SHA-256(00 ‖ R), is the record's only handle. Every record of a
stream has all n fields, absent ones null, so that their number says nothing. A disclosure is
verified as the characters received: its JSON need not be canonical, only unambiguous.

Source:
    docs/reference/streams.md; RFC 9901, section 4.2.1 (disclosures).
"""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import chain, cycle
from typing import TYPE_CHECKING, NamedTuple

from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.core.merkle import HASH_BYTES, Hash, as_hash, leaf_hash, leaf_hashes, split_hashes
from counterfoil.core.portable import encode_value, encode_values
from counterfoil.core.text import parse_base64url, shown
from counterfoil.errors import FormatError, ProofError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RECORD_PREFIX = b"counterfoil/record/v1\n"
"""First bytes of every record, so that it cannot be taken for anything else that is hashed."""

MAX_FIELD_DEPTH = 16
"""Nested arrays and objects of one disclosure, the outer array being the first."""

SALT_BYTES = 32
"""A salt is as hard to guess as the hash that it protects."""

MAX_FIELD_BYTES = 48 * 1024
"""Bytes of one disclosure's JSON: 65,536 characters in base64url, still a small file."""

MAX_FIELDS = 256
"""Fields of a record: each costs 32 bytes in every record, so at most 8 KiB of them."""

MAX_NAME_CHARACTERS = 128
"""Characters of a field's name, which is repeated in every disclosure."""

PAD_KIND = "pad"
"""Value of the field `kind` in a record that only fills a batch."""

_MAX_DISCLOSURE_CHARACTERS = MAX_FIELD_BYTES * 4 // 3
_VALUE_DEPTH = MAX_FIELD_DEPTH - 1


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One field of one record, shown.

    Args:
        salt: 32 random bytes.
        name: The field.
        value: What was recorded.
        encoded: `D_i` as received; its hash is what the record commits to.
    """

    salt: bytes
    name: str
    value: JsonValue
    encoded: str


class Sealed(NamedTuple):
    """A new record and everything needed to show it; a tuple, since thousands a second are made.

    Args:
        record: R.
        leaf: SHA-256(00 ‖ R), the record's handle.
        disclosures: One `D_i` for each field, in order.
    """

    record: bytes
    leaf: Hash
    disclosures: tuple[str, ...]


def check_fields(fields: Sequence[str]) -> None:
    """Check that these names can be the fields of a stream.

    Raises:
        FormatError: None or too many, or a name that is empty, too long or given twice.
    """
    if not 1 <= len(fields) <= MAX_FIELDS:
        raise FormatError(
            f"a stream has 1 to {MAX_FIELDS} fields, not {len(fields)}",
            hint="Group values that need not be shown one by one into one field.",
        )
    for name in fields:
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise FormatError(
                f"the field name {shown(name)} has {len(name)} characters, "
                f"not 1 to {MAX_NAME_CHARACTERS}",
                hint="A field's name is repeated in each disclosure; keep it short.",
            )
    if len(set(fields)) != len(fields):
        raise FormatError("two fields have the same name", hint="Give each field its own name.")


def format_disclosure(salt: bytes, name: str, value: JsonValue) -> str:
    """Write `D_i`; the same characters that `seal_rows` writes.

    Numbers that JSON readers do not agree on become strings: integers beyond 2**53 - 1, and
    `"NaN"`, `"Infinity"` and `"-Infinity"`.

    Raises:
        FormatError: The salt is not 32 bytes, or the value is not JSON, too large or too deep.
    """
    if len(salt) != SALT_BYTES:
        raise FormatError(
            f"a salt has {SALT_BYTES} bytes, not {len(salt)}", hint="Draw 32 fresh random bytes."
        )
    text = encode_value(value, _VALUE_DEPTH)
    return _encode(_encode_salts(salt), [_name_part(name)], [text]).decode("ascii").rstrip()


def parse_disclosure(text: str) -> Disclosure:
    """Read `D_i`.

    Whether a record commits to it is not looked at here; see `check_disclosures`.

    Raises:
        FormatError: Not canonical base64url of I-JSON, not an array of exactly salt, name and
            value, or too large or too deep.
    """
    if len(text) > _MAX_DISCLOSURE_CHARACTERS:
        raise FormatError(
            f"a disclosure has {len(text)} characters, at most {_MAX_DISCLOSURE_CHARACTERS}",
            hint="This is no disclosure, or several were joined.",
        )
    data = parse_base64url(text, "disclosure")
    value = parse_json(
        data, what="disclosure", max_bytes=MAX_FIELD_BYTES, max_depth=MAX_FIELD_DEPTH
    )
    match value:
        case [str(salt), str(name), shown_value]:
            return Disclosure(
                parse_base64url(salt, "salt of a disclosure", size=SALT_BYTES),
                name,
                shown_value,
                text,
            )
    raise FormatError(
        "a disclosure is an array of exactly a salt, a name and a value",
        hint="Disclosures of array elements, which have no name, are not used here.",
    )


def field_digest(disclosure: str) -> Hash:
    """Compute `d_i`, the commitment to `D_i`: SHA-256 of its characters.

    Raises:
        FormatError: There is a character that no disclosure has.
    """
    try:
        return Hash(sha256(disclosure.encode("ascii")).digest())
    except UnicodeEncodeError as error:
        raise FormatError(
            f"the disclosure {shown(disclosure)} is not ASCII",
            hint="It was changed on its way here; ask for it again.",
        ) from error


def format_record(stream_id: bytes, digests: Sequence[bytes]) -> bytes:
    """Write R, a record of 54 + 32n bytes.

    Args:
        stream_id: S, 32 bytes.
        digests: `d_0` to `d_(n-1)`, 32 bytes each.
    """
    parts = [as_hash(stream_id, "stream id")]
    parts += [as_hash(digest, "field digest") for digest in digests]
    return RECORD_PREFIX + b"".join(parts)


def parse_record(record: bytes, n_fields: int) -> tuple[Hash, tuple[Hash, ...]]:
    """Read R; return S and `d_0` to `d_(n-1)`.

    Raises:
        FormatError: Not a record, or not one with `n_fields` fields.
    """
    start = len(RECORD_PREFIX)
    expected = start + HASH_BYTES * (1 + n_fields)
    if len(record) != expected:
        raise FormatError(
            f"a record with {n_fields} fields has {expected} bytes, this one {len(record)}",
            hint="It was cut, or belongs to a stream with other fields.",
        )
    if not record.startswith(RECORD_PREFIX):
        raise FormatError(
            "a record begins with counterfoil/record/v1 and a line feed, this one does not",
            hint="These are other bytes, or a record of a later version.",
        )
    stream_id, *digests = (
        Hash(record[at : at + HASH_BYTES]) for at in range(start, expected, HASH_BYTES)
    )
    return stream_id, tuple(digests)


def record_leaf(record: bytes) -> Hash:
    """Compute the leaf of R in its stream, and so the record's handle: SHA-256(00 ‖ R)."""
    return leaf_hash(record)


def check_disclosures(
    record: bytes, fields: Sequence[str], disclosures: Iterable[str]
) -> dict[str, JsonValue]:
    """Check that the record commits to each of these disclosures; return what they show.

    Whether the record is in its stream is not looked at here; see `stream.check_record`.

    Args:
        record: R.
        fields: Names of the stream's fields, in order.
        disclosures: Any of the record's `D_i`, in any order, each once.

    Returns:
        Name to value, in the order of `fields`. A field that is not disclosed is absent.

    Raises:
        FormatError: A record or disclosure is malformed.
        ProofError: The record does not commit to a disclosure, commits to it in the place of
            another field, or the disclosure is given twice.

    Source:
        docs/reference/streams.md, "Checking a disclosure"; for each: hash, then parse, then name.
    """
    _, digests = parse_record(record, len(fields))
    places = {digest: place for place, digest in enumerate(digests)}
    found: dict[int, JsonValue] = {}
    for encoded in disclosures:
        place = places.get(field_digest(encoded))
        if place is None:
            raise ProofError(
                f"the record does not commit to the disclosure {shown(encoded)}",
                hint="It was changed, or belongs to another record.",
            )
        disclosure = parse_disclosure(encoded)
        if disclosure.name != fields[place]:
            raise ProofError(
                f"the record holds a field called {shown(disclosure.name)} "
                f"in the place of {shown(fields[place])}",
                hint="Whoever wrote this record did not keep to its stream's fields.",
            )
        if place in found:
            raise ProofError(
                f"the field {shown(disclosure.name)} is disclosed twice",
                hint="Show each field once.",
            )
        found[place] = disclosure.value
    return {fields[place]: found[place] for place in sorted(found)}


def pad_row(fields: Sequence[str]) -> tuple[JsonValue, ...]:
    """Return the values of a pad record: `kind` is `"pad"`, the rest null.

    Raises:
        FormatError: The stream has no field `kind`.
    """
    if "kind" not in fields:
        raise FormatError(
            "a stream without a field called kind cannot be padded",
            hint='Declare a field "kind", or pad_to = 1.',
        )
    return tuple(PAD_KIND if name == "kind" else None for name in fields)


def seal_rows(
    stream_id: bytes,
    fields: Sequence[str],
    rows: Sequence[Sequence[JsonValue]],
    salts: bytes,
) -> list[Sealed]:
    """Make a record of each row.

    Args:
        stream_id: S, 32 bytes.
        fields: Names of the stream's fields, in order.
        rows: The values of each record, one for each field; null where there is none.
        salts: Fresh random bytes, 32 for each field of each row.

    Raises:
        FormatError: A row has another number of values, `salts` another length, or a value is
            not JSON, too large or too deep.
    """
    for place, row in enumerate(rows):
        if len(row) != len(fields):
            raise FormatError(
                f"row {place} has {len(row)} values, the stream {len(fields)} fields",
                hint="Give null for a field that has no value.",
            )
    texts = encode_values(list(chain.from_iterable(rows)), _VALUE_DEPTH)
    return seal_texts(stream_id, fields, texts, salts)


def seal_texts(
    stream_id: bytes, fields: Sequence[str], texts: Sequence[bytes], salts: bytes
) -> list[Sealed]:
    """Make records of values that are JSON text already, row after row.

    Every decision takes this path, so it goes through all rows one step at a time.

    Args:
        stream_id: S, 32 bytes.
        fields: Names of the stream's fields, in order.
        texts: From `encode_value`; as many as fields, or a multiple of that.
        salts: Fresh random bytes, 32 for each text.

    Raises:
        FormatError: `salts` has another length, or a text is too large.
    """
    check_fields(fields)
    if len(salts) != SALT_BYTES * len(texts):
        raise FormatError(
            f"{len(texts)} values need {SALT_BYTES * len(texts)} bytes of salt, not {len(salts)}",
            hint="Draw 32 fresh random bytes for each field of each row.",
        )
    head = RECORD_PREFIX + as_hash(stream_id, "stream id")
    encoded = _encode(_encode_salts(salts), cycle(map(_name_part, fields)), texts)
    digests = b"".join([sha256(one).digest() for one in encoded.split()])
    width = HASH_BYTES * len(fields)
    records = [head + digests[at : at + width] for at in range(0, len(digests), width)]
    disclosures = zip(*[iter(encoded.decode("ascii").split())] * len(fields), strict=True)
    leaves = split_hashes(leaf_hashes(records))
    # What `Sealed` does when it is called, without the call.
    make = partial(tuple.__new__, Sealed)
    return list(map(make, zip(records, leaves, disclosures, strict=True)))


def _encode_salts(salts: bytes) -> list[bytes]:
    """Encode all salts at once: with a zero byte behind each, 33 bytes are exactly 44 characters.

    The 43 before the last are those that the salt alone has.
    """
    spaced = b"\0".join([salts[at : at + SALT_BYTES] for at in range(0, len(salts), SALT_BYTES)])
    encoded = _url_safe(b2a_base64(spaced + b"\0", newline=False))
    return [encoded[at : at + 43] for at in range(0, len(salts) // SALT_BYTES * 44, 44)]


def _encode(salts: Iterable[bytes], names: Iterable[bytes], values: Iterable[bytes]) -> bytes:
    """Write `D_i` from encoded salts, the names' parts of the JSON text, and the values' text.

    Returns:
        All of them, a line feed behind each.
    """
    # Not strict, as names go round for ever.
    texts = [b'["%b%b%b]' % parts for parts in zip(salts, names, values, strict=False)]
    longest = max(map(len, texts), default=0)
    if longest > MAX_FIELD_BYTES:
        raise FormatError(
            f"a field's disclosure would have {longest} bytes of JSON, at most {MAX_FIELD_BYTES}",
            hint="Keep the large part elsewhere and record its digest.",
        )
    return _url_safe(b"".join(map(b2a_base64, texts)).replace(b"=", b""))


def _url_safe(encoded: bytes) -> bytes:
    """Write `-` and `_` for `+` and `/`, which are so few that this is quicker than a table."""
    return encoded.replace(b"+", b"-").replace(b"/", b"_")


def _name_part(name: str) -> bytes:
    check_fields((name,))
    return b'",' + encode_value(name, 0) + b","
