from __future__ import annotations

from importlib import resources

import pytest
from web3 import Web3

from counterfoil.chain.anchor import check_members, log_id, origin_hash
from counterfoil.chain.contracts import CONTRACTS, deployment_key, hashes, load_artifact
from counterfoil.core.canonical import parse_json
from counterfoil.errors import FormatError, UnavailableError

A, B = "0x" + "11" * 20, "0x" + "22" * 20


@pytest.mark.parametrize("name", CONTRACTS)
def test_calls_are_encoded_as_web3_does(name):
    """Every function of every artifact is encoded to the bytes that web3.py makes of it."""
    file = resources.files("counterfoil.chain") / "artifacts" / f"{name}.json"
    abi = parse_json(file.read_bytes())["abi"]
    reference = Web3().eth.contract(abi=abi)
    artifact = load_artifact(name)
    sample = {"bytes32": b"\x01" * 32, "uint64": 7, "uint256": 8, "uint8": 1, "address": A}
    sample |= {"address[]": [A, B], "bytes32[]": [b"\x02" * 32]}
    sample |= {"tuple[]": [(b"\x03" * 32, b"\x04" * 32)]}
    functions = [entry for entry in abi if entry["type"] == "function"]
    for entry in functions:
        values = [sample[one["type"]] for one in entry["inputs"]]
        expected = reference.encode_abi(entry["name"], args=values)
        assert artifact.encode(entry["name"], *values).hex() == expected.removeprefix("0x")
    assert set(artifact.functions) == {"", *(entry["name"] for entry in functions)}


def test_values_that_do_not_fit_are_refused():
    """A value of another type or size than the contract takes is a FormatError."""
    artifact = load_artifact("CheckpointAnchor")
    for values in (
        (b"\x01" * 33, 1),
        (b"\x01" * 32, 2**64),
        (b"\x01" * 32, -1),
        (b"\x01" * 32,),
        ("x", 1),
    ):
        with pytest.raises(FormatError, match=r"CheckpointAnchor\.root_at does not take this"):
            artifact.encode("root_at", *values)


def test_nonsense_from_a_node_is_an_outage():
    """Bytes that the function does not return are an UnavailableError."""
    artifact = load_artifact("CheckpointAnchor")
    assert artifact.decode("root_at", b"\x05" * 32) == (b"\x05" * 32,)
    for name in ("root_at", "latest", "committee_of"):
        with pytest.raises(UnavailableError, match="nonsense"):
            artifact.decode(name, b"\x05" * 31)
    with pytest.raises(UnavailableError, match="nonsense"):
        artifact.decode("committee_of", b"\xff" * 96)


def test_short_hashes_are_not_filled_up():
    """A hash of fewer bytes is refused, although the encoding would add zeros."""
    with pytest.raises(FormatError):
        hashes([b"\x01" * 31])


def test_there_are_no_other_contracts():
    """A name that leads elsewhere is refused."""
    for name in ("Other", "../CheckpointAnchor", ""):
        with pytest.raises(FormatError, match="there is no contract"):
            load_artifact(name)


def test_deployments_are_told_apart_by_what_they_make():
    """Another contract, or other arguments, is another deployment."""
    one = deployment_key("IssuerRegistry", [A], 1)
    assert one == deployment_key("IssuerRegistry", [A], 1)
    assert (
        len({one, deployment_key("IssuerRegistry", [A, B], 1), deployment_key("CheckpointAnchor")})
        == 3
    )


def test_members_ascend_and_can_be_a_quorum():
    """A committee that the contract would refuse is refused before gas is spent."""
    check_members([A, B], 2)
    for members, threshold in (
        ([B, A], 1),
        ([A, A], 1),
        ([], 0),
        ([A], 2),
        ([A], 0),
        (["0x" + "00" * 20], 1),
        (["x"], 1),
    ):
        with pytest.raises(FormatError):
            check_members(members, threshold)
    with pytest.raises(FormatError):
        check_members([f"0x{n:040x}" for n in range(1, 34)], 1)


def test_a_logs_id_says_who_signs_first():
    """Origin, threshold and members all count for a log's id."""
    ids = {
        log_id("a", [A, B], 1),
        log_id("b", [A, B], 1),
        log_id("a", [A, B], 2),
        log_id("a", [A], 1),
    }
    assert len(ids) == 4
    assert {len(one) for one in ids} == {32} == {len(origin_hash("a"))}
