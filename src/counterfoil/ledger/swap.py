"""Two organisations witness each other's logs: one file each way.

An offer says which log its maker runs, and which witness the maker runs for the other's log. All
keys named in it have signed it, so nobody can put together an offer of other people's parts, or
change an address in one. Whose offer it is, its bytes cannot say: compare its digest by another
way, such as the telephone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.keys import Algorithm, Signer, VerifierKey, format_vkey, parse_vkey
from counterfoil.core.quorum import Witness
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.core.toml import Table
from counterfoil.errors import ConflictError, FormatError, SignatureError
from counterfoil.ledger.log import Log
from counterfoil.ledger.ownwitness import OwnWitness

MAX_OFFER_BYTES = 32 << 10
"""Longest offer: three keys and three signatures, two of them ML-DSA-44."""

_FORMAT = "witness-offer/v1"
# No checkpoint, cosignature or binding begins like this, so none can be passed off as another.
_SIGNED = f"counterfoil/{_FORMAT}\n".encode()


@dataclass(frozen=True, slots=True)
class Offer:
    """What one side tells the other.

    Args:
        log: Key of the log that is to be witnessed.
        witness: The witness that its maker runs, with its address.
    """

    log: VerifierKey
    witness: Witness

    def __post_init__(self) -> None:
        if self.log.algorithm is not Algorithm.ED25519:
            raise FormatError(
                f"{self.log.label} is not a log's key", hint="A log's key is of type 01 (Ed25519)."
            )
        if not self.witness.url:
            raise FormatError(
                "an offer says where its witness is asked", hint="Give --url https://…."
            )
        if self.log.public in {key.public for key in self.witness.keys}:
            raise FormatError(
                "a log cannot be its own witness", hint="The witness has keys of its own."
            )

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Who signs it, in this order."""
        return (self.log, *self.witness.keys)


def format_offer(offer: Offer, signers: Sequence[Signer]) -> bytes:
    """Sign and write an offer.

    Args:
        offer: What it says.
        signers: The private halves of `offer.keys`, in their order.
    """
    assert offer.keys == tuple(one.key for one in signers)  # noqa: S101 our own bug
    message = _message(offer)
    signatures: list[JsonValue] = [format_base64(one.sign(message)) for one in signers]
    return format_json({**_body(offer), "signatures": signatures})


def make_offer(log: Log, own: OwnWitness, operator: str, url: str) -> bytes:
    """Offer a witness of ours for a log of theirs, which in turn is to witness ours.

    Args:
        log: Ours.
        own: Our witness.
        operator: Our organisation.
        url: Where the witness is asked.

    Raises:
        ConflictError: the log's key on this machine is another one.
        FormatError: that is no address.
        UnavailableError: the log's key is not on this machine.
    """
    signer = log.principal_key("log")
    if signer.key != log.key:
        raise ConflictError(
            f"{log.places.key('log')} is not the key of {log.origin}",
            hint="Restore the log's own key.",
        )
    return format_offer(Offer(log.key, own.listed(operator, url)), (signer, *own.signers))


def parse_offer(data: bytes) -> Offer:
    """Read an offer, and check that all keys in it have signed it.

    *Not checked*: whose keys these are.

    Raises:
        FormatError: it is not what `format_offer` writes.
        SignatureError: a key in it has not signed it.
    """
    what = "the offer"
    value = parse_canonical(data, what=what, max_bytes=MAX_OFFER_BYTES)
    if not isinstance(value, dict):
        raise FormatError(f"{what} is an object", hint="This is other JSON; ask for the file.")
    table = Table(value, what)
    table.only("counterfoil", "log", "witness", "signatures")
    if table.text("counterfoil") != _FORMAT:
        raise table.error("another format", key="counterfoil", hint=f"This reads {_FORMAT}.")
    offer = table.read(
        lambda inner: Offer(
            parse_vkey(inner.text("log")), inner.inner("witness", Witness.from_table)
        )
    )
    signatures = table.texts("signatures")
    if len(signatures) != len(offer.keys):
        raise SignatureError(
            f"the offer has {len(signatures)} signatures for {len(offer.keys)} keys",
            hint="Ask for the file as it was written.",
        )
    for key, text in zip(offer.keys, signatures, strict=True):
        key.verify(_message(offer), parse_base64(text, "signature of the offer"))
    return offer


def offer_digest(data: bytes) -> str:
    """SHA-256 of an offer, in hex, for two people to compare."""
    return sha256(data).hexdigest()


def take_offer(offer: Offer, own: OwnWitness, log: VerifierKey) -> Witness:
    """Witness the other's log from now on, and give the witness that they offer for ours.

    Args:
        offer: Theirs.
        own: Our witness.
        log: Key of our log.

    Raises:
        ConflictError: our witness knows their log by another key.
        FormatError: the offer is our own.
    """
    check_theirs(offer, log, *(signer.key for signer in own.signers))
    own.know(offer.log)
    return offer.witness


def check_theirs(offer: Offer, *ours: VerifierKey) -> None:
    """Check that an offer names no key of ours.

    Raises:
        FormatError: it does, so it is our own.
    """
    if {key.public for key in ours} & {key.public for key in offer.keys}:
        raise FormatError(
            "this offer is our own, or names a key of ours", hint="Take the file of the other side."
        )


def _body(offer: Offer) -> dict[str, JsonValue]:
    return {
        "counterfoil": _FORMAT,
        "log": format_vkey(offer.log),
        "witness": offer.witness.to_json(),
    }


def _message(offer: Offer) -> bytes:
    return _SIGNED + format_json(_body(offer))
