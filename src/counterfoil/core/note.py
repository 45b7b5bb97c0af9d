"""Signed notes: text that one or more keys vouch for.

    If you think cryptography is the answer to your problem,
    then you don't know what your problem is.

    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqd...

The text ends in a line feed and may hold empty lines; the last empty line parts it from the
signatures. Each signature line is an em dash, the key's name, and base64 of key ID ‖ signature.
What a signature covers depends on the algorithm of its key: here only plain Ed25519, over the
text itself. Witnesses sign more than that; see `cosignature`.

Source:
    C2SP signed-note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from counterfoil.core.keys import KEY_ID_BYTES, Algorithm, Signer, VerifierKey, check_key_name
from counterfoil.core.text import format_base64, parse_base64, shown
from counterfoil.errors import FormatError, SignatureError

MAX_NOTE_BYTES = 1_000_000
"""Longest note that is read; the same limit as golang.org/x/mod/sumdb/note."""

MAX_NOTE_SIGNATURES = 100
"""Most signatures on one note, so that one note cannot buy any number of verifications; C2SP
asks for at least 16, golang.org/x/mod/sumdb/note stops at 100."""

_DASH = "\N{EM DASH}"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line.

    Args:
        name: Name of the key that is said to have signed.
        key_id: Its key ID, 4 bytes.
        signature: The bytes after the key ID, at least one; what they mean, the key says.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.signature:
            raise FormatError(
                f"the signature in the name of {shown(self.name)} is too short",
                hint="It is a key ID of 4 bytes and the signature; copy the whole line.",
            )

    def is_named_by(self, key: VerifierKey) -> bool:
        """Whether name and key ID are those of `key`; that it signed is not said by this."""
        return self.name == key.name and self.key_id == key.key_id


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures under it, not yet checked.

    Args:
        text: Ends in a line feed; no control characters besides.
        signatures: 1 to `MAX_NOTE_SIGNATURES` lines, in order.
    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        check_note_text(self.text)
        if not 1 <= len(self.signatures) <= MAX_NOTE_SIGNATURES:
            raise FormatError(
                f"a note has 1 to {MAX_NOTE_SIGNATURES} signatures, this one "
                f"{len(self.signatures)}",
                hint="Keep the lines of the keys that you know.",
            )


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note that at least one known key signed.

    Args:
        note: The note, unknown signatures included.
        verified: The keys whose signatures were checked and hold, in the note's order.
    """

    note: Note
    verified: tuple[VerifierKey, ...]


def format_note(note: Note) -> bytes:
    """Write a note: text, empty line, signature lines.

    Raises:
        FormatError: It would be longer than `MAX_NOTE_BYTES`.
    """
    lines = "".join(f"{format_signature_line(signature)}\n" for signature in note.signatures)
    return _limited(f"{note.text}\n{lines}".encode())


def parse_note(data: bytes) -> Note:
    """Read a note; `format_note` of the result is `data`. Signatures are not checked.

    Raises:
        FormatError: `data` is not a signed note.
    """
    try:
        text = _limited(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"the note is not UTF-8 at byte {error.start}",
            hint="Fetch the file again, as bytes and without conversion.",
        ) from error
    body, blank, lines = text.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise FormatError(
            "this is not a signed note: the empty line before the signatures, or the line feed "
            "at the end, is missing",
            hint="Fetch the file again; it may have been cut, or its line ends changed.",
        )
    # Counted before they are read, as each line costs time.
    count = lines.count("\n")
    if count > MAX_NOTE_SIGNATURES:
        raise FormatError(
            f"a note has 1 to {MAX_NOTE_SIGNATURES} signatures, this one {count}",
            hint="Keep the lines of the keys that you know.",
        )
    return Note(body + "\n", tuple(map(parse_signature_line, lines[:-1].split("\n"))))


def format_signature_line(signature: NoteSignature) -> str:
    """Write one signature line, without its line feed."""
    encoded = format_base64(signature.key_id + signature.signature)
    return f"{_DASH} {signature.name} {encoded}"


def parse_signature_line(line: str) -> NoteSignature:
    """Read one signature line, without its line feed.

    Raises:
        FormatError: `line` is not what `format_signature_line` writes.
    """
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH:
        raise FormatError(
            f"{shown(line)} is not a signature line",
            hint="It is an em dash, the key's name and base64, with one space between them.",
        )
    data = parse_base64(parts[2], f"signature of {shown(parts[1])}")
    return NoteSignature(parts[1], data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def sign_note(text: str, *signers: Signer) -> Note:
    """Sign `text` with plain Ed25519 keys.

    Raises:
        FormatError: `text` cannot be a note's, or a signer's key is for another purpose.
    """
    check_note_text(text)
    message = text.encode()
    keys = [_plain(signer.key) for signer in signers]
    return Note(
        text,
        tuple(
            NoteSignature(key.name, key.key_id, signer.sign(message))
            for key, signer in zip(keys, signers, strict=True)
        ),
    )


def open_note(data: bytes, *keys: VerifierKey) -> OpenedNote:
    """Read a note and check who of `keys` signed it.

    Signatures of other keys are ignored, as they must be: they prove nothing to this reader,
    and a log may add witnesses or a new key at any time.

    Args:
        data: The signed note.
        keys: Plain Ed25519 keys that this reader trusts.

    Raises:
        FormatError: `data` is not a signed note, or a key is for another purpose.
        SignatureError: No signature is by one of `keys`, or one in the name of such a key is
            false; then the whole note is rejected.

    Source:
        C2SP signed-note, "Signatures".
    """
    note = parse_note(data)
    message = note.text.encode()
    verified: list[VerifierKey] = []
    for signature in note.signatures:
        for key in keys:
            if signature.is_named_by(_plain(key)):
                key.verify(message, signature.signature)
                if key not in verified:
                    verified.append(key)
    if not verified:
        names = ", ".join(f"{s.name}+{s.key_id.hex()}" for s in note.signatures[:3])
        hint = "Compare with the keys in your trust policy."
        if {signature.name for signature in note.signatures} & {key.name for key in keys}:
            hint += (
                " The log may have been handed over to a new key: get its newest trust.toml from "
                "somebody you trust, and run `counterfoil policy trust FILE`."
            )
        raise SignatureError(
            f"no known key signed this note; it names {names}",
            hint=hint,
        )
    return OpenedNote(note, tuple(verified))


def check_note_text(text: str) -> None:
    """Refuse what may not be the text of a note.

    Raises:
        FormatError: `text` does not end in a line feed, or holds another control character or
            what UTF-8 cannot carry.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise FormatError(
            "the text of a note ends in a line feed and holds no other control character",
            hint="Line ends are LF alone, and the text is UTF-8.",
        )


def _plain(key: VerifierKey) -> VerifierKey:
    if key.algorithm is not Algorithm.ED25519:
        raise FormatError(
            f"{key.label} is a key for cosignatures, not for signing notes",
            hint="Make a key of type 01 (Ed25519) for logs and notes.",
        )
    return key


def _limited(data: bytes) -> bytes:
    if len(data) > MAX_NOTE_BYTES:
        raise FormatError(
            f"this note has {len(data)} bytes, at most {MAX_NOTE_BYTES} are read",
            hint="A note is a short text; put large data beside it and sign the digest.",
        )
    return data
