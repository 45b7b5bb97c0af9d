"""A member of a committee who is asked over HTTP.

    POST <url>/sign-anchor    a request as `format_request` writes it; an answer as `format_answer`

Bodies are those of the files that are handed around otherwise; `answering` is the other end.
"""

from __future__ import annotations

from counterfoil.chain.request import (
    AnchorRequest,
    AnchorSignature,
    format_request,
    parse_answer,
)
from counterfoil.core.text import parse_decimal
from counterfoil.errors import (
    FormatError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.localwitness import RememberedError, reason_in
from counterfoil.ledger.web import ANSWER_WITHIN_S, Peer
from counterfoil.ledger.witness import (
    SIZE_TYPE,
    STATUS_CONFLICT,
    STATUS_FORBIDDEN,
    STATUS_OK,
    STATUS_UNPROVEN,
)

MAX_ANSWER_BYTES = 16 << 10
"""Longest answer of a member: a signature, and the lines of its witness."""

_DECIMAL_AND_LF = 20


class HttpMember:
    """A member with an address; see `Member`. Good for one run of anchoring.

    What it answers is believed by nobody before `check_answer`.

    Args:
        address: Of its anchor key.
        url: Of its witness, as the trust policy has it.
        within_s: Time for a request, in seconds.
    """

    def __init__(self, address: str, url: str, *, within_s: float = ANSWER_WITHIN_S) -> None:
        self.address = address
        self._peer = Peer(
            url,
            what="member",
            hint="See its `url` in the trust policy, or hand files around: --exchange.",
            within_s=within_s,
        )
        self._has_said_another_size = False

    def sign(self, request: AnchorRequest) -> AnchorSignature:
        """Ask; see `Member`."""
        doing = f"the signature of {self.address}"
        answer = self._peer.request(
            "POST",
            "/sign-anchor",
            format_request(request),
            {"Content-Type": "application/json"},
            doing=doing,
            max_bytes=MAX_ANSWER_BYTES,
        )
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status == STATUS_CONFLICT and kind == SIZE_TYPE:
            raise self._remembers(answer.body, request)
        reason = reason_in(answer.body)
        if answer.status in {STATUS_FORBIDDEN, STATUS_UNPROVEN}:
            raise VerificationError(f"{self.address} does not sign: {reason}")
        if answer.status != STATUS_OK:
            raise self._peer.unavailable(doing, f"{answer.status}: {reason}")
        try:
            return parse_answer(answer.body)
        except FormatError as error:
            raise self._peer.unavailable(doing, f"nonsense: {error}") from error

    def close(self) -> None:
        """Close the connections that are kept."""
        self._peer.close()

    def _remembers(self, body: bytes, request: AnchorRequest) -> RememberedError | UnavailableError:
        """Believe it once that it remembers another size: then a request proves from there.

        A larger one than the request is for, too: as a witness it may have cosigned what the log
        published since. More often, or a size from which was proven, it would only keep the others
        from signing.
        """
        doing = f"the signature of {self.address}"
        try:
            text = body[: _DECIMAL_AND_LF + 1].decode("ascii", "replace").removesuffix("\n")
            size = parse_decimal(text, "size in its answer")
        except FormatError as error:
            return self._peer.unavailable(doing, f"nonsense: {error}")
        newest = request.checkpoint.size
        if self._has_said_another_size or size in {0, newest, *request.proofs}:
            return self._peer.unavailable(doing, f"it says that it remembers {size} entries")
        self._has_said_another_size = True
        return RememberedError(size, f"{self.address} remembers {size} entries")
