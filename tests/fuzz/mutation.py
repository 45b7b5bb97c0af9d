"""Changes to bytes that keep more of their form than chance would.

A flipped bit of canonical JSON is refused at its first line, and shows nothing about what comes
behind. So half of the changes are made to the values inside: of JSON, of base64 within it, of RLP.
The same generator gives the same changes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from random import Random
from typing import Any

MAX_BYTES = 1 << 16
"""Longest outcome; longer inputs are tried by hand, in the tests of each limit."""

# fmt: off
WORDS = (
    b"", b"\0", b"\n", b"\n\n", b" ", b"+", b"=", b"~", b"-", b".", b"\r\n", b"\x7f", b"\x80",
    b"\xff" * 8, b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\x94 ", b"\xe2\x80\xa8",
    b"0", b"1", b"-1", b"00", b"255", b"256", b"65535", b"65536", b"1e400", b"1e21", b"-0", b"1.5",
    b"9007199254740991", b"9007199254740992", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"9" * 40, b"9" * 400, b"9" * 5000,
    b"0x", b"0x0", b"0xffffffffffffffff", b"null", b"true", b"NaN", b"Infinity", b"[]", b"{}",
    b'""', b"\\u0000", b"\\ud800", b"[[[[[[[[", b'{"a":' * 8, b"<script>", b"</script>", b"&#0;",
    b"%00", b"&#" + b"9" * 5000, b"../", b"[[a]]", b"a.b.c", b'"""',
)
"""Bytes that mean something to some parser, or lie next to a limit."""

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**64, 10**400,
    0.5, -0.0, 1e17, 1e21, 1e300, 5e-324, "", "0", "\0", "\n", "\u2028", "\ud800", "é", "a" * 300,
    [], {}, [[]], [None], {"": None}, {"a": [1]}, "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z",
)
# fmt: on
_NUMBER = re.compile(rb"[0-9]+")


def mutate(data: bytes, random: Random, form: str, others: tuple[bytes, ...]) -> bytes:
    """Change `data` in one to four places.

    Args:
        data: What is changed.
        random: Decides what is changed.
        form: `json`, `rlp`, or `bytes` for anything else.
        others: What parts may be taken from.
    """
    count = random.choice((1, 1, 1, 2, 2, 4))
    if form != "bytes" and (inside := sum(random.random() < 0.7 for _ in range(count))):
        changed = (_change_json if form == "json" else _change_rlp)(data, random, inside)
        if changed is not None:
            data, count = changed, count - inside
    for _ in range(count):
        data = _change_bytes(data, random, others)
    return data[:MAX_BYTES]


def _change_bytes(data: bytes, random: Random, others: tuple[bytes, ...]) -> bytes:
    at = random.randrange(len(data) + 1)
    to = min(len(data), at + random.choice((1, 1, 2, 4, 8, 32, random.randrange(1, 4096))))
    match random.randrange(10):
        case 0 if data:
            place = min(at, len(data) - 1)
            flipped = bytes([data[place] ^ 1 << random.randrange(8)])
            return data[:place] + flipped + data[place + 1 :]
        case 1:
            return data[:at] + random.randbytes(to - at) + data[to:]
        case 2:
            return data[:at] + random.choice((data[to:], b""))
        case 3:
            return data[:at] + random.choice(WORDS) + data[at:]
        case 4:
            return data[:at] + random.choice(WORDS) + data[to:]
        case 5:
            return data[:to] + data[at:]
        case 6:
            other = random.choice(others)
            return data[:at] + other[random.randrange(len(other) + 1) :]
        case 7 if place := _NUMBER.search(data, at) or _NUMBER.search(data):
            number = random.choice((random.choice(WORDS), b"%d" % random.randrange(1 << 70)))
            return data[: place.start()] + number + data[place.end() :]
        case 8 if random.random() < 0.1:  # long inputs cost time
            part = data[at:to] or b"["
            return (
                data[:at] + part * random.choice((3, 70, 300, MAX_BYTES // len(part))) + data[to:]
            )
        case _:
            start = random.randrange(len(data) + 1)
            part = data[start : start + to - at]
            return data[:at] + part + data[at:]


def _change_json(data: bytes, random: Random, count: int) -> bytes | None:
    """Change values of a JSON text; None where it is none, or has lost all form."""
    try:
        root = [json.loads(data)]
        for _ in range(count):
            _change_value(root, random)
        text = json.dumps(root[0], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-8", "replace" if random.random() < 0.9 else "surrogatepass")


def _change_value(root: list[Any], random: Random) -> None:
    holder, key = _place(root, random)
    value = holder[key]
    match random.randrange(8):
        case 0 if isinstance(holder, dict) or len(holder) > 1:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[random.choice((f"{key}s", "", "log", "é", key[:-1]))] = holder.pop(key)
        case 2 if isinstance(holder, list) and holder is not root:
            holder[key:key] = [_copy(value) for _ in range(random.choice((1, 1, 2, 20, 300)))]
        case 3:
            other, name = _place(root, random)
            holder[key] = _copy(other[name])
        case 4:
            other = _copy(random.choice(_VALUES))
            holder[key] = random.choice(([value], {"a": value}, str(value), other))
        case 5 if isinstance(value, int):
            holder[key] = random.choice(
                (value + 1, value - 1, -value, value << 1, float(value % 999))
            )
        case _ if isinstance(value, str) and random.random() < 0.9:
            holder[key] = _change_text(value, random)
        case _:
            holder[key] = _copy(random.choice(_VALUES))


def _copy(value: Any) -> Any:
    """What the next change changes is nothing that stands elsewhere as well."""
    return json.loads(json.dumps(value))


def _place(root: list[Any], random: Random) -> tuple[Any, Any]:
    """Choose the place of a value: what holds it, and under which key."""
    holder: Any = root
    while True:
        key: Any = (
            random.choice(tuple(holder))
            if isinstance(holder, dict)
            else random.randrange(len(holder))
        )
        value = holder[key]
        if not isinstance(value, dict | list) or not value or random.random() < 0.2:
            return holder, key
        holder = value


def _change_text(text: str, random: Random) -> str:
    """Change a text, or what it is the base64 of, or the JSON in that."""
    if len(text) >= 8 and random.random() < 0.6:
        url = random.random() < 0.5
        try:
            padded = text + "=" * (-len(text) % 4) if url else text
            data = base64.b64decode(padded, altchars=b"-_" if url else None, validate=True)
        except (ValueError, binascii.Error):
            pass
        else:
            form = "json" if data[:1] in {b"{", b"["} else "bytes"
            changed = mutate(data, random, form, (data,))
            encoded = base64.b64encode(changed, altchars=b"-_" if url else None).decode()
            return encoded.rstrip("=") if url else encoded
    changed = _change_bytes(text.encode("utf-8", "surrogatepass"), random, (b"example.org",))
    return changed.decode("utf-8", random.choice(("replace", "ignore", "surrogateescape")))


def _change_rlp(data: bytes, random: Random, count: int) -> bytes | None:
    """Change items of RLP, so that the lengths around them still hold."""
    import rlp  # noqa: PLC0415 only what takes RLP has it

    try:
        root = [_lists(rlp.decode(data))]
    except (rlp.exceptions.RLPException, RecursionError):
        return None
    for _ in range(count):
        _change_item(root, random)
    return bytes(rlp.encode(root[0], infer_serializer=False))


def _change_item(root: list[Any], random: Random) -> None:
    holder, key = _place(root, random)
    value = holder[key]
    match random.randrange(6):
        case 0 if len(holder) > 1:
            del holder[key]
        case 1 if holder is not root:
            holder[key:key] = [_lists(value) for _ in range(random.choice((1, 1, 2, 130)))]
        case 2:
            other, name = _place(root, random)
            holder[key] = _lists(other[name])
        case 3:
            holder[key] = random.choice(([value], [], b"", b"\0", b"\xff" * 32, bytes(32)))
        case _ if isinstance(value, bytes):
            holder[key] = _change_bytes(value, random, (b"\x80",))
        case _:
            holder[key] = random.randbytes(random.choice((1, 20, 32)))


def _lists(item: Any) -> Any:
    return item if isinstance(item, bytes) else [_lists(one) for one in item]
