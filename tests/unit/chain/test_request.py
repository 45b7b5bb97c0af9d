from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.request import (
    AnchorRequest,
    AnchorSignature,
    format_answer,
    format_request,
    parse_answer,
    parse_request,
)
from counterfoil.chain.typed import Signature
from counterfoil.core.merkle import Hash
from counterfoil.errors import CounterfoilError, FormatError

NOTE = (
    b"bank.example/log\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    b"\xe2\x80\x94 bank.example/log AAAAAAAA\n"
)
REQUEST = AnchorRequest(
    1337, "0x" + "5f" * 20, b"\xcd" * 32, 1, NOTE, {1: (Hash(b"\x01" * 32),), 3: ()}
)
ANSWER = AnchorSignature(
    "0x" + "12" * 20, 3, Hash(b"\x02" * 32), Signature.parse(b"\x03" * 64), "— a.example AAAA"
)


def test_a_request_survives_its_file():
    """What a member reads is what the log's operator wrote."""
    assert parse_request(format_request(REQUEST)) == REQUEST


def test_an_answer_survives_its_file():
    """What the operator reads is what the member wrote."""
    assert parse_answer(format_answer(ANSWER)) == ANSWER


CHANGES = {
    "counterfoil": ["anchor-request/v2", 1],
    "chain_id": [True, -1, 1.0, "1337", 2**53],
    "contract": ["0x" + "5F" * 20, "5f" * 20, ""],
    "log": ["cd" * 31, "CD" * 32],
    "epoch": [-1, None],
    "checkpoint": ["", "bank.example/log\n3\n", NOTE.decode().replace("\n3\n", "\n03\n")],
    "proofs": [
        {},
        [{"size": 1, "hashes": ["AQ=="]}],
        [{"size": 1}],
        [{"size": 3, "hashes": []}, {"size": 1, "hashes": []}],
        [{"size": 1, "hashes": []}, {"size": 1, "hashes": []}],
        [{"size": size, "hashes": []} for size in range(33)],
        [{"size": 1, "hashes": ["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="] * 64}],
    ],
}


@pytest.mark.parametrize(
    ("member", "value"), [(member, value) for member in CHANGES for value in CHANGES[member]]
)
def test_a_malformed_request_is_refused(member, value):
    """A request in any other than its one form is a format error, before anything is signed."""
    body = json.loads(format_request(REQUEST)) | {member: value}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with pytest.raises(FormatError):
        parse_request(text.encode())
    with pytest.raises(FormatError):
        parse_request(json.dumps(body | {"more": 1}, sort_keys=True).encode())


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_our_errors(data):
    """Neither parser falls over what a stranger sends."""
    for parse in (parse_request, parse_answer):
        with pytest.raises(CounterfoilError):
            parse(data)


def test_an_answer_holds_no_more_than_it_must():
    """A cosignature of any length is not carried around."""
    with pytest.raises(FormatError, match="too long"):
        parse_answer(format_answer(replace(ANSWER, cosignature="x" * 9000)))
