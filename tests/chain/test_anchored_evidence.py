"""Evidence that carries its anchor: what it counts for, offline and with a node."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import authorities
import jsonschema
import pytest
from eth_keys.datatypes import PrivateKey

import counterfoil as cf
from counterfoil.chain.header import Header, format_header, parse_header
from counterfoil.chain.qbft import MIX_HASH, ExtraData, format_extra, seal_hash
from counterfoil.core.authority import Authority
from counterfoil.core.canonical import format_json
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.errors import CounterfoilError, FormatError, UnavailableError, VerificationError
from counterfoil.evidence.anchor import collect_anchor
from counterfoil.ledger.stamping import stamp_log

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "evidence.schema.json").read_bytes()
)
VALIDATORS = [PrivateKey(bytes([n]) * 32) for n in range(1, 5)]
ADDRESSES = tuple(sorted(f"0x{key.public_key.to_canonical_address().hex()}" for key in VALIDATORS))


def answer(rows):
    return ["yes" for _ in rows]


def decide(bank):
    """A decision in the log, not yet anchored."""
    ledger = bank.ledger
    model = ledger.models.add(answer, name="model")
    return model.decide([[1], [2]])


def with_chain(bank, **changes):
    """The policy that a verifier has, with other rules for the chain."""
    return replace(bank.policy, chain=replace(bank.policy.chain, **changes))


def sealed(body, keys=VALIDATORS[:3], time=None):
    """The same evidence with its header as these validators of a QBFT chain seal it.

    No such network can run here, so the seals are made by the same keys in the same way; state,
    account and storage are those that a real node gave.
    """
    header = parse_header(parse_base64(body["anchor"]["proof"]["header"], "header"))
    listed = tuple(bytes.fromhex(address[2:]) for address in ADDRESSES)
    mixed = tuple(MIX_HASH if field == header["mixHash"] else field for field in header.fields)
    if time is not None:
        mixed = tuple(
            time.to_bytes(8, "big") if field == header["timestamp"] else field for field in mixed
        )
    header = Header(mixed).with_extra(format_extra(ExtraData(listed)))
    digest = seal_hash(header)
    seals = tuple(key.sign_msg_hash(digest).to_bytes() for key in keys)
    header = header.with_extra(format_extra(ExtraData(listed, seals)))
    changed = json.loads(json.dumps(body))
    changed["anchor"]["proof"]["header"] = format_base64(format_header(header))
    return changed


def verify(body, policy, **more):
    return cf.verify(format_json(body), trust=policy, **more)


def test_evidence_without_an_anchor_is_of_version_1(bank):
    """Before the anchor, evidence is what it always was."""
    batch = decide(bank)
    assert batch[1].evidence().body["counterfoil"] == "evidence/v1"


def test_an_anchor_that_nobody_vouches_for_counts_nothing(bank, tmp_path):
    """Offline, without validators or a pinned block: unauthenticated, and the grade stays."""
    batch = decide(bank)
    bank.anchoring().run()
    path = batch[1].evidence().save(tmp_path / "letter.html")
    verdict = cf.verify(path, trust=bank.policy)
    assert verdict.grade == "self-witnessed"
    assert any(one.startswith("anchor: unauthenticated") for one in verdict.not_checked)
    untrusting = cf.verify(path, trust=replace(bank.policy, chain=None))
    assert any("no trust policy says which chain" in one for one in untrusting.not_checked)


def test_a_node_that_the_verifier_names_is_asked(bank, node, tmp_path):
    """With --rpc the chain itself is asked, and the verdict says who has to be believed."""
    batch = decide(bank)
    bank.anchoring().run()
    path = batch[1].evidence().save(tmp_path / "letter.html")
    verdict = cf.verify(path, trust=bank.policy, rpc=node.url)
    assert verdict.grade == "anchored"
    assert any("node at http://127.0.0.1" in one for one in verdict.trust)
    assert any("CheckpointAnchor that began empty" in one for one in verdict.trust)
    assert not any("no witness outside" in one for one in verdict.trust)


def test_a_node_of_another_chain_vouches_for_nothing(bank, start_node, tmp_path):
    """A chain of the same id that began anew has another block at that height, or none."""
    batch = decide(bank)
    bank.anchoring().run()
    path = batch[1].evidence().save(tmp_path / "letter.html")
    other = start_node()
    verdict = cf.verify(path, trust=bank.policy, rpc=other.url)
    assert verdict.grade == "self-witnessed"
    assert any("is not final yet" in one for one in verdict.not_checked)
    other("anvil_mine", "0x20")
    verdict = cf.verify(path, trust=bank.policy, rpc=other.url)
    assert any("has another block" in one for one in verdict.not_checked)
    other("anvil_setChainId", 99)
    with pytest.raises(VerificationError, match="serves the chain 99"):
        cf.verify(path, trust=bank.policy, rpc=other.url)
    other.kill()
    with pytest.raises(UnavailableError):
        cf.verify(path, trust=bank.policy, rpc=other.url)


def test_a_pinned_block_and_sealed_headers_count_offline(bank):
    """Whoever pins the block, or the validators that sealed it, needs no node, years later."""
    batch = decide(bank)
    bank.anchoring().run()
    body = batch[1].evidence().body
    jsonschema.validate(json.loads(format_json(body)), SCHEMA)
    number = bank.ledger.find(predicate="anchor")[-1].statement.predicate["block"]["number"]
    block = bank.outbox.chain.block(number).hash.hex()
    assert verify(body, with_chain(bank, blocks=(block,))).grade == "anchored"
    other = verify(body, with_chain(bank, blocks=("ab" * 32,)))
    assert other.grade == "self-witnessed"
    consortium = with_chain(bank, validators=ADDRESSES)
    verdict = verify(sealed(body), consortium)
    assert verdict.grade == "anchored"
    assert any("3 of the policy's 4 validators" in one for one in verdict.trust)
    assert verify(sealed(body, VALIDATORS[:2]), consortium).grade == "self-witnessed"
    strangers = [PrivateKey(bytes([n]) * 32) for n in range(11, 14)]
    with pytest.raises(VerificationError, match="no validator"):
        verify(sealed(body, strangers), consortium)


def test_a_time_that_no_calendar_has_is_refused(bank):
    """Validators can seal any number as a time; what comes of it is an error of ours."""
    batch = decide(bank)
    bank.anchoring().run()
    body = sealed(batch[1].evidence().body, time=2**63)
    with pytest.raises(FormatError, match="is not a time"):
        verify(body, with_chain(bank, validators=ADDRESSES))


def test_a_chain_that_only_the_operator_runs_lifts_nothing(consortium, node, tmp_path):
    """The anchor holds, and the verdict says that it proves nothing against the operator."""
    bank = consortium(operators=("Bank",))
    batch = decide(bank)
    bank.anchoring().run()
    path = batch[1].evidence().save(tmp_path / "letter.html")
    verdict = cf.verify(path, trust=bank.policy, rpc=node.url)
    assert verdict.grade == "self-witnessed"
    assert any("which alone runs the chain" in one for one in verdict.not_checked)


def test_an_anchor_of_another_place_counts_nothing(bank, node):
    """A policy that names another place makes no letter false: its anchor does not count."""
    batch = decide(bank)
    bank.anchoring().run()
    body = batch[1].evidence().body
    for change in ({"id": 1}, {"contract": "0x" + "11" * 20}, {"log": "ab" * 32}):
        verdict = verify(body, with_chain(bank, **change), rpc=node.url)
        assert verdict.grade == "self-witnessed"
        assert any("of another place" in one for one in verdict.not_checked)


def test_a_file_without_an_anchor_says_so(bank, node):
    """Where the policy names a chain, or a node is named, a missing anchor is not passed over."""
    body = decide(bank)[0].evidence().body
    assert any("carries no anchor" in one for one in verify(body, bank.policy).not_checked)
    plain = replace(bank.policy, chain=None)
    asked = verify(body, plain, rpc=node.url)
    assert any("carries no anchor" in one for one in asked.not_checked)
    assert not any("carries no anchor" in one for one in verify(body, plain).not_checked)


def test_a_development_chain_lifts_nothing(bank):
    """Whatever the policy says of who runs it: everybody has a chain of that id."""
    batch = decide(bank)
    bank.anchoring().run()
    body = json.loads(format_json(batch[1].evidence().body))
    body["anchor"]["proof"]["chain_id"] = 31337
    rules = {"id": 31337, "validators": ADDRESSES, "operators": ("Somebody else",)}
    verdict = verify(sealed(body), with_chain(bank, **rules))
    assert verdict.grade == "self-witnessed"
    assert any("is a development chain" in one for one in verdict.not_checked)


def test_only_what_is_below_the_anchor_is_anchored(bank, node):
    """A decision recorded after the anchor is not lifted by it, and does not carry it."""
    decide(bank)
    bank.anchoring().run()
    later = bank.ledger.models.load("model", predictor=answer).decide([[3]])
    plain = dict(later[0].evidence().body)
    assert plain["counterfoil"] == "evidence/v1"
    # Whoever puts the earlier anchor in all the same, rightly proven, lifts nothing by it.
    early = collect_anchor(bank.ledger, bank.policy.chain, 0)
    put_in = plain | {"counterfoil": "evidence/v2", "anchor": early}
    assert verify(put_in, bank.policy, rpc=node.url).grade == "self-witnessed"
    bank.anchoring().run()
    body = later[0].evidence().body
    assert verify(body, bank.policy, rpc=node.url).grade == "anchored"


def _places(value, path=()):
    """Every string and number in the anchor, by its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _places(inner, (*path, place))
    else:
        yield path, value


def _changed(value):
    if isinstance(value, int):
        return value + 1
    flip = {"A": "B", "a": "b", "0": "1"}
    middle = len(value) // 2
    return value[:middle] + flip.get(value[middle], "0") + value[middle + 1 :]


def test_every_changed_value_of_an_anchor_is_noticed(bank):
    """Whatever is changed in the anchor: it is refused, or it is not the anchor that counts."""
    batch = decide(bank)
    bank.anchoring().run()
    bank.grow(3)
    whole = batch[1].evidence().body
    policy = with_chain(bank, validators=ADDRESSES)
    body = sealed(whole)
    assert verify(body, policy).grade == "anchored"
    places = list(_places(body["anchor"]))
    assert len(places) > 12
    for path, value in places:
        changed = json.loads(json.dumps(body))
        inner = changed["anchor"]
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = _changed(value)
        try:
            verdict = verify(changed, policy)
        except CounterfoilError:
            continue
        assert verdict.grade == "self-witnessed", path


def test_an_anchor_of_another_decision_or_log_is_refused(bank):
    """An anchor is tied to the checkpoint of its own file."""
    batch = decide(bank)
    bank.anchoring().run()
    body = dict(batch[1].evidence().body)
    earlier = json.loads(json.dumps(body["anchor"]))
    later = bank.ledger.models.load("model", predictor=answer).decide([[3]])
    bank.anchoring().run()
    newer = dict(later[0].evidence().body)
    with pytest.raises(CounterfoilError):
        verify(newer | {"anchor": earlier}, bank.policy)
    with pytest.raises(FormatError):
        verify(body | {"counterfoil": "evidence/v1"}, bank.policy)
    with pytest.raises(FormatError):
        verify({k: v for k, v in body.items() if k != "anchor"}, bank.policy)


def test_without_the_extra_the_rest_is_verified_all_the_same(bank, monkeypatch):
    """Who has not installed what a chain needs is told so; the evidence still verifies."""
    batch = decide(bank)
    bank.anchoring().run()
    body = batch[1].evidence().body
    for name in [name for name in sys.modules if name.startswith("counterfoil.chain.")]:
        if name != "counterfoil.chain.anchored":
            monkeypatch.delitem(sys.modules, name)
    for name in ("rlp", "trie", "eth_keys", "eth_utils"):
        monkeypatch.setitem(sys.modules, name, None)
    verdict = verify(body, bank.policy)
    assert any("install 'counterfoil[chain]'" in one for one in verdict.not_checked)


def test_a_log_is_stamped_and_anchored_and_each_says_its_own(bank, node):
    """Evidence of version 3 carries both; and neither takes the other for news, without end."""
    tsa = authorities.Authority()
    with authorities.serve(tsa) as url:
        notary = Authority("notary", "Notary Ltd", tsa.pem, url)
        bank.ledger.policy.adopt(bank.policy.followed_by(authorities=(notary,)))
        bank.policy = bank.ledger.policy.show()
        batch = decide(bank)
        for _ in range(3):
            stamp_log(bank.ledger)
            bank.anchoring().run()
        assert (tsa.asked, len(bank.stated())) == (1, 1)
    body = batch[1].evidence().body
    assert body["counterfoil"] == "evidence/v3"
    jsonschema.validate(json.loads(format_json(dict(body))), SCHEMA)
    verdict = verify(body, bank.policy, rpc=node.url)
    assert verdict.grades == ("time-stamped", "anchored")
    assert cf.verify(bank.ledger.folder, trust=bank.policy).grades == ("time-stamped",)
