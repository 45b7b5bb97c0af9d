"""What is being anchored just now: one request, and the answers that members gave to it.

    ~/.counterfoil/anchoring/<log>/request.json             what is asked
    ~/.counterfoil/anchoring/<log>/answer.<address>.json    one for each member who signed

A new request stands in for the one before, and proves from that one's size as well: a member who
signed it remembers it.
"""

from __future__ import annotations

from collections.abc import Iterable

from counterfoil.chain.request import (
    MAX_PROOFS,
    MAX_REQUEST_BYTES,
    AnchorRequest,
    AnchorSignature,
    format_answer,
    format_request,
    parse_answer,
    parse_request,
)
from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.ledger.disk import read_file, reported
from counterfoil.ledger.keyfiles import make_private
from counterfoil.ledger.log import Log


class Desk:
    """The one request of a log, and its answers.

    Args:
        log: The log.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._folder = log.places.anchoring

    def request(self) -> AnchorRequest | None:
        """Read what is being asked; None if nothing is.

        Raises:
            FormatError: the file is damaged.
            UnavailableError: it cannot be read.
        """
        path = self._folder / "request.json"
        if not path.exists():
            return None
        return parse_request(read_file(path, MAX_REQUEST_BYTES))

    def ask(
        self, chain_id: int, contract: str, log_id: bytes, epoch: int, known: Iterable[int]
    ) -> AnchorRequest:
        """Make the log's newest checkpoint what is asked; durable on return.

        Args:
            chain_id: EIP-155.
            contract: Address of the `CheckpointAnchor`, lower case.
            log_id: The log's id there, 32 bytes.
            epoch: Of the committee.
            known: Sizes that members may remember, beside that of the request before: that of
                the newest anchor, for instance.
        """
        log, old = self._log, self.request()
        checkpoint = open_checkpoint(log.checkpoint, log.keys)
        before = () if old is None else (old.checkpoint.size, *sorted(old.proofs, reverse=True))
        sizes = dict.fromkeys(size for size in (*known, *before) if 0 < size <= checkpoint.size)
        proven = sorted([*sizes][:MAX_PROOFS])
        request = AnchorRequest(
            chain_id,
            contract,
            log_id,
            epoch,
            log.checkpoint,
            {size: log.consistency(size, checkpoint.size) for size in proven},
        )
        if old is None or _asks(old) != _asks(request):
            # The answers first: left behind, they would be to another request.
            self._forget("answer.*.json")
        self._write("request.json", format_request(request))
        return request

    def answer(self, address: str) -> AnchorSignature | None:
        """Read a member's answer; None if it has not answered."""
        path = self._folder / f"answer.{address}.json"
        if not path.exists():
            return None
        return parse_answer(read_file(path, MAX_REQUEST_BYTES))

    def keep(self, answer: AnchorSignature) -> None:
        """Keep a member's answer; durable on return."""
        self._write(f"answer.{answer.address}.json", format_answer(answer))

    def clear(self) -> None:
        """Forget the request: it was anchored."""
        self._forget("answer.*.json")
        self._forget("request.json")

    def _write(self, name: str, data: bytes) -> None:
        with reported(f"cannot write {self._folder / name}"):
            make_private(self._folder)
            self._log.disk.replace(self._folder, name, data, 0o600)

    def _forget(self, pattern: str) -> None:
        with reported(f"cannot remove {pattern} from {self._folder}"):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)


def _asks(request: AnchorRequest) -> tuple[object, ...]:
    """Give what members sign; from which sizes it is proven makes no other answer."""
    return request.chain_id, request.contract, request.log, request.epoch, request.note
