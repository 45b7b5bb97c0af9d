"""Members of a committee: witnesses with a second key, who sign what is to be anchored.

One check and one memory stand before both signatures: a member signs a checkpoint for the chain
only if it has, as a witness, durably remembered it as the last one of that log. So no member can
be led to sign two roots of one size, or to go back, whichever way it is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from counterfoil.chain.account import Account
from counterfoil.chain.binding import check_binding
from counterfoil.chain.place import require_chain
from counterfoil.chain.request import (
    MAX_REQUEST_BYTES,
    AnchorRequest,
    AnchorSignature,
    format_answer,
    format_request,
    parse_answer,
)
from counterfoil.chain.typed import Message, checkpoint_message, digest
from counterfoil.core.checkpoint import Checkpoint, open_checkpoint
from counterfoil.core.note import Note, NoteSignature, format_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.errors import PolicyError, SignatureError, UnavailableError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.localwitness import RememberedError, WitnessClient


class Member(Protocol):
    """One who is asked to sign what is to be anchored.

    `sign` returns only after the member has durably remembered the checkpoint as the last one of
    its log. It raises `UnavailableError` where there is no answer yet, `RememberedError` where the
    member remembers a size that the request does not prove from, and `VerificationError` where it
    will not follow.
    """

    @property
    def address(self) -> str:
        """Of its anchor key, in lower case."""
        ...

    def sign(self, request: AnchorRequest) -> AnchorSignature:
        """Ask for a signature."""
        ...


class LocalMember:
    """A member whose keys are on this machine.

    Args:
        policy: Its own trust policy: for which log, chain and contract it signs at all.
        witness: Its check and its memory.
        account: Its anchor key.
    """

    def __init__(self, policy: TrustPolicy, witness: WitnessClient, account: Account) -> None:
        self._policy = policy
        self.witness = witness
        self._account = account

    @property
    def address(self) -> str:
        """Of its anchor key."""
        return self._account.address.lower()

    def sign(self, request: AnchorRequest) -> AnchorSignature:
        """Check, remember, sign twice; see `Member`."""
        require_place(request, self._policy)
        checkpoint = open_checkpoint(request.note, self._policy.log.keys)
        lines = self._cosign(request, checkpoint)
        # If we stop here, the member remembers the checkpoint, and asked again signs it again.
        signature = self._account.sign_typed(message_of(request, checkpoint))
        return AnchorSignature(
            self.address,
            checkpoint.size,
            checkpoint.root,
            signature,
            format_note(Note("-\n", lines)).removeprefix(b"-\n\n").decode().rstrip("\n"),
        )

    def _cosign(self, request: AnchorRequest, checkpoint: Checkpoint) -> tuple[NoteSignature, ...]:
        try:
            return self.witness.add_checkpoint(checkpoint.size, (), request.note)
        except RememberedError as remembered:
            size = remembered.size
        proofs = {0: (), **request.proofs}
        if size not in proofs or size > checkpoint.size:
            raise RememberedError(
                size,
                f"{self.address} last witnessed {size} entries of {checkpoint.origin}; the request "
                f"is for {checkpoint.size} and proves from {', '.join(map(str, sorted(proofs)))}",
                hint="A member does not go back: anchor a newer checkpoint, or one that proves "
                "from that size.",
            )
        return self.witness.add_checkpoint(size, proofs[size], request.note)


class FileMember:
    """A member who is handed a file, and hands one back.

    Args:
        address: Of its anchor key.
        folder: Where requests are put and answers are looked for.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self._folder = folder

    def sign(self, request: AnchorRequest) -> AnchorSignature:
        """Look for the answer; put the request there first, if it is not.

        An older request of the same size, to another epoch perhaps, gives way. An answer to it is
        still found, and `check_answer` refuses it until there is a new one.
        """
        size, data = request.checkpoint.size, format_request(request)
        asked = request_path(self._folder, size)
        if not asked.exists() or read_file(asked, MAX_REQUEST_BYTES) != data:
            with reported(f"cannot write the request {asked}"):
                self._folder.mkdir(parents=True, exist_ok=True)
                Disk().replace(self._folder, asked.name, data)
        answered = answer_path(asked, self.address)
        if not answered.exists():
            raise UnavailableError(
                f"{self.address} has not signed {size} entries yet",
                hint=f"Hand over {asked}; `counterfoil chain sign` makes {answered.name} of it.",
            )
        return parse_answer(read_file(answered, MAX_REQUEST_BYTES))


def request_path(folder: Path, size: int) -> Path:
    """Name the file of a request."""
    return folder / f"anchor-{size}.request.json"


def answer_path(asked: Path, address: str) -> Path:
    """Name the file of an answer, beside its request."""
    return asked.with_name(f"{asked.name.removesuffix('.request.json')}.{address}.json")


def write_answer(asked: Path, answer: AnchorSignature) -> Path:
    """Write an answer beside its request, and return where."""
    path = answer_path(asked, answer.address)
    with reported(f"cannot write the answer {path}"):
        Disk().replace(path.parent, path.name, format_answer(answer))
    return path


def check_answer(answer: AnchorSignature, request: AnchorRequest) -> None:
    """Check that the key of the answer's address signed what the request asks for.

    Whether that address belongs to the committee is not looked at here; nor is the cosignature.

    Raises:
        SignatureError: It did not.
    """
    checkpoint = request.checkpoint
    if (answer.size, answer.root) != (checkpoint.size, checkpoint.root):
        raise SignatureError(
            f"the answer of {answer.address} is for {answer.size} entries with another root, or "
            f"another size than {checkpoint.size}",
            hint="It answers an older request; ask again.",
        )
    signer = answer.signature.recover(digest(message_of(request, checkpoint)))
    if signer.lower() != answer.address:
        raise SignatureError(
            f"the signature in the name of {answer.address} is false",
            hint="It was made for another chain, contract, log or epoch, or was changed.",
        )


def committee_of(policy: TrustPolicy) -> list[str]:
    """List the anchor keys of the policy's witnesses, ascending, as the contract wants them.

    Raises:
        PolicyError: one has not signed for its witness.
    """
    signing = [check_binding(one) for one in policy.witnesses if one.anchor is not None]
    return sorted((one.address for one in signing), key=lambda address: int(address, 16))


def require_place(request: AnchorRequest, policy: TrustPolicy) -> None:
    """Refuse a request for another chain, contract or log than the policy's.

    Raises:
        PolicyError: It is for another.
    """
    rules = require_chain(policy)
    asked = f"chain {request.chain_id}, contract {request.contract}, log {request.log.hex()}"
    ours = f"chain {rules.id}, contract {rules.contract}, log {rules.log}"
    if asked != ours:
        raise PolicyError(
            "the request is for another place than the trust policy's",
            have=asked,
            need=ours,
            hint="Sign only for the place that you agreed to.",
        )


def message_of(request: AnchorRequest, checkpoint: Checkpoint) -> Message:
    """Make the typed data that a request asks for."""
    return checkpoint_message(
        request.chain_id,
        request.contract,
        log=request.log,
        epoch=request.epoch,
        size=checkpoint.size,
        root=checkpoint.root,
    )
