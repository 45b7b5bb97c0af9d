"""The registries: whose keys speak for whom, which models are authorised, which consents stand.

Source:
    contracts/IssuerRegistry.vy, ModelRegistry.vy, ConsentRegistry.vy; docs/reference/contracts.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from counterfoil.chain.anchor import Committee, check_members
from counterfoil.chain.answers import parse_address
from counterfoil.chain.contracts import Contract, hashes, pairs
from counterfoil.chain.transaction import Call
from counterfoil.chain.typed import Message, Signature, rotation_message, typed_message

ED25519, SECP256K1 = 1, 2
"""Kinds of keys in an IssuerRegistry: 32 bytes; an address, padded in front to 32 bytes."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key in an IssuerRegistry. Times are seconds since 1970.

    Args:
        organisation: For whom it speaks, 32 bytes.
        not_before: From when.
        not_after: Until when.
        revoked_from: From when it does no more; 0: it is not revoked.
    """

    organisation: bytes
    not_before: int
    not_after: int
    revoked_from: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model stands for a use in a ModelRegistry.

    Args:
        statement: Leaf hash of the statement that it was authorised by; zeros: never.
        expires: Until when, seconds since 1970.
        approvals: How many members signed.
        revocation: Leaf hash of the statement that revoked it; zeros: not revoked.
    """

    statement: bytes
    expires: int
    approvals: int
    revocation: bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent in a ConsentRegistry. Times are seconds since 1970; 0: never.

    Args:
        expires: Until when it was given.
        withdrawn: When it was taken back.
    """

    expires: int
    withdrawn: int


class _Governed(Contract):
    """A contract with one committee of its own, whose id there is 32 zeros."""

    def committee_of(self, *, final: bool = True) -> Committee:
        """Give the committee in force."""
        epoch, threshold, members = self._read("committee_of", final=final)
        return Committee(epoch, threshold, tuple(map(to_checksum_address, members)))

    def rotate(
        self,
        members: Sequence[str],
        threshold: int,
        signatures: Sequence[Signature],
        acceptances: Sequence[Signature],
    ) -> Call:
        """Replace the committee: `rotation_message`, signed by a quorum of the old and the new."""
        check_members(members, threshold)
        old, new = pairs(signatures), pairs(acceptances)
        return self._call("rotate", list(members), threshold, old, new)

    def rotation_message(self, epoch: int, members: Sequence[str], threshold: int) -> Message:
        """Make what old and new members sign; `epoch` is the one that begins."""
        check_members(members, threshold)
        return rotation_message(
            self.chain.chain_id,
            self.address,
            committee=bytes(32),
            epoch=epoch,
            threshold=threshold,
            members=members,
        )

    def _message(self, kind: str, values: Mapping[str, object]) -> Message:
        fields = self.artifact.signed_types[kind]
        return typed_message(self.chain.chain_id, self.address, kind, fields, values)


class IssuerRegistry(_Governed):
    """Which keys speak for which organisation."""

    name = "IssuerRegistry"

    def add(
        self,
        organisation: bytes,
        kind: int,
        key: bytes,
        *,
        not_before: int,
        not_after: int,
        signatures: Sequence[Signature],
    ) -> Call:
        """Add a key: `key_message`, signed by a quorum."""
        words = hashes([organisation, key])
        times = (not_before, not_after)
        return self._call("add", words[0], kind, words[1], *times, pairs(signatures))

    def revoke(
        self, kind: int, key: bytes, revoked_from: int, signatures: Sequence[Signature]
    ) -> Call:
        """Revoke a key, for good: `revocation_message`, signed by a quorum."""
        return self._call("revoke", kind, *hashes([key]), revoked_from, pairs(signatures))

    def check_issuer(
        self, organisation: bytes, kind: int, key: bytes, at: int, *, final: bool = True
    ) -> int:
        """Check that a key spoke for an organisation at a time; gives until when it does.

        Raises:
            RefusedError: it did not.
        """
        words = hashes([organisation, key])
        (until,) = self._read("check_issuer", words[0], kind, words[1], at, final=final)
        return int(until)

    def key_of(self, kind: int, key: bytes, *, final: bool = True) -> Key:
        """Give what is on record about a key; zeros where nothing is."""
        ((organisation, *times),) = self._read("key_of", kind, *hashes([key]), final=final)
        return Key(organisation, *times)

    def key_message(
        self,
        organisation: bytes,
        kind: int,
        key: bytes,
        *,
        not_before: int,
        not_after: int,
        epoch: int,
    ) -> Message:
        """Make what members sign to add a key."""
        return self._message(
            "Key",
            {
                "organisation": organisation,
                "kind": kind,
                "key": key,
                "not_before": not_before,
                "not_after": not_after,
                "epoch": epoch,
            },
        )

    def revocation_message(self, kind: int, key: bytes, revoked_from: int, epoch: int) -> Message:
        """Make what members sign to revoke a key."""
        return self._message(
            "KeyRevocation",
            {"kind": kind, "key": key, "revoked_from": revoked_from, "epoch": epoch},
        )


class ModelRegistry(_Governed):
    """Which models are authorised for which use, each by a statement in an anchored log."""

    name = "ModelRegistry"

    def authorise(
        self,
        use: bytes,
        model: bytes,
        *,
        size: int,
        index: int,
        leaf: bytes,
        path: Sequence[bytes],
        expires: int,
        revocation: bytes,
        signatures: Sequence[Signature],
    ) -> Call:
        """Authorise a model: `authorisation_message`, signed by a quorum.

        Args:
            use: What for, 32 bytes.
            model: Its digest, 32 bytes.
            size: An anchored size of the log.
            index: Of the statement in it.
            leaf: Leaf hash of the statement.
            path: Inclusion proof.
            expires: Until when, seconds since 1970.
            revocation: Leaf hash of the revocation that this names; zeros where there is none.
            signatures: By a quorum.
        """
        words = hashes([use, model, leaf, revocation])
        proof = (size, index, words[2], hashes(path))
        signed = pairs(signatures)
        return self._call("authorise", *words[:2], *proof, expires, words[3], signed)

    def revoke(
        self,
        use: bytes,
        model: bytes,
        *,
        size: int,
        index: int,
        leaf: bytes,
        path: Sequence[bytes],
        signatures: Sequence[Signature],
    ) -> Call:
        """Revoke a model: `revocation_message`, signed by as many as revoking asks for."""
        words = hashes([use, model, leaf])
        proof = (size, index, words[2], hashes(path))
        return self._call("revoke", *words[:2], *proof, pairs(signatures))

    def check_model(self, use: bytes, model: bytes, *, final: bool = True) -> bytes:
        """Check that a model is authorised for a use now; gives the statement's leaf hash.

        Raises:
            RefusedError: it is not.
        """
        (statement,) = self._read("check_model", *hashes([use, model]), final=final)
        return bytes(statement)

    def standing_of(self, use: bytes, model: bytes, *, final: bool = True) -> Standing:
        """Give what is on record about a model; zeros where nothing is."""
        (found,) = self._read("standing_of", *hashes([use, model]), final=final)
        return Standing(*found)

    def authorisation_message(
        self,
        use: bytes,
        model: bytes,
        *,
        statement: bytes,
        expires: int,
        revocation: bytes,
        epoch: int,
    ) -> Message:
        """Make what members sign to authorise a model; `statement` is its leaf hash."""
        return self._message(
            "Authorisation",
            {
                "use": use,
                "model": model,
                "statement": statement,
                "expires": expires,
                "revocation": revocation,
                "epoch": epoch,
            },
        )

    def revocation_message(
        self, use: bytes, model: bytes, *, statement: bytes, epoch: int
    ) -> Message:
        """Make what members sign to revoke a model; `statement` is the revocation's leaf hash."""
        return self._message(
            "Revocation", {"use": use, "model": model, "statement": statement, "epoch": epoch}
        )


class ConsentRegistry(Contract):
    """Which organisation lets which other use a data set, for what. Nothing about people."""

    name = "ConsentRegistry"

    def grant(self, dataset: bytes, purpose: bytes, grantee: str, expires: int) -> Call:
        """Let `grantee` use a data set; who sends this grants it.

        Args:
            dataset: A random handle of 32 bytes, never a digest of the data.
            purpose: 32 bytes.
            grantee: Address.
            expires: Until when, seconds since 1970.
        """
        return self._call("grant", *hashes([dataset, purpose]), parse_address(grantee), expires)

    def withdraw(self, dataset: bytes, purpose: bytes, grantee: str) -> Call:
        """Take a grant back, for good."""
        return self._call("withdraw", *hashes([dataset, purpose]), parse_address(grantee))

    def check_consent(
        self, grantor: str, dataset: bytes, purpose: bytes, grantee: str, *, final: bool = True
    ) -> int:
        """Check that a grant stands now; gives until when.

        Raises:
            RefusedError: it does not.
        """
        what = (parse_address(grantor), *hashes([dataset, purpose]), parse_address(grantee))
        (until,) = self._read("check_consent", *what, final=final)
        return int(until)

    def grant_of(
        self, grantor: str, dataset: bytes, purpose: bytes, grantee: str, *, final: bool = True
    ) -> Grant:
        """Give what is on record about a grant; zeros where nothing is."""
        what = (parse_address(grantor), *hashes([dataset, purpose]), parse_address(grantee))
        (found,) = self._read("grant_of", *what, final=final)
        return Grant(*found)
