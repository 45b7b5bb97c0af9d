from __future__ import annotations

import hashlib
import json
import stat

import pytest


def test_members_make_their_keys_and_one_genesis(ask, place):
    """Each member makes a key; from the public lines every one of them makes the same files."""
    lines = []
    for at, name in enumerate(("ada", "bob", "cid", "dan")):
        made = ask("chain", "node", name, "--at", f"10.0.0.{at + 1}:30303")
        assert stat.S_IMODE((place / name / "data" / "key").stat().st_mode) == 0o600
        assert made["member"] == f"{name}={made['enode']}"
        secret = (place / name / "data" / "key").read_text()
        assert secret[2:] not in json.dumps(made)
        lines.append(made["member"])
    digests = set()
    for who, order in (("ada", lines), ("bob", lines[::-1])):
        words = [word for line in order for word in ("--member", line)]
        made = ask("chain", "genesis", *words, "--out", f"{who}-network")
        assert (made["trial"], len(made["members"])) == (False, 4)
        written = place / f"{who}-network"
        assert not list(written.rglob("key"))
        genesis = (written / who / "genesis.json").read_bytes()
        assert hashlib.sha256(genesis).hexdigest() == made["genesis"]
        digests.add(made["genesis"])
        assert (
            sorted(str(path.relative_to(written)) for path in written.rglob("*") if path.is_file())
            == made["files"]
        )
    assert len(digests) == 1


def test_a_network_to_try_out_says_what_it_is(run, ask, place):
    """With all keys made in one place the command says that this proves nothing."""
    text = run("chain", "genesis", "--members", "4").stdout
    assert "no proof of anything" in text
    assert len(list((place / "network").rglob("key"))) == 4
    made = ask("chain", "genesis", "--members", "7", "--chain-id", "2026", "--out", "other")
    assert (made["trial"], made["chain_id"], len(made["members"])) == (True, 2026, 7)


def test_nothing_is_overwritten(run, place):
    """A folder that is there already is left as it is."""
    run("chain", "genesis", "--members", "4")
    before = (place / "network" / "member1" / "data" / "key").read_text()
    run("chain", "genesis", "--members", "4", exit_code=10)
    run("chain", "node", "network", "--at", "10.0.0.1:30303", exit_code=10)
    assert (place / "network" / "member1" / "data" / "key").read_text() == before


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        ([], 3),
        (["--members", "3"], 2),
        (["--members", "129"], 2),
        (["--members", "4", "--member", "ada=enode://00@10.0.0.1:1"], 3),
        (["--member", "ada"], 3),
        (["--members", "4", "--chain-id", "0"], 3),
        (["--members", "4", "--block-period", "0"], 3),
        (["--members", "4", "--fund", "0x00"], 3),
        (["--members", "4", "--out", "no/such/folder"], 11),
    ],
)
def test_what_makes_no_network_is_refused(words, exit_code, run, place):
    """Too few members, both kinds of them, or a value that cannot work: nothing is written."""
    run("chain", "genesis", *words, exit_code=exit_code)
    assert not (place / "network").exists()


@pytest.mark.parametrize("words", [["ada", "--at", "host:1"], ["Ada", "--at", "10.0.0.1:1"]])
def test_a_node_has_a_name_and_an_address(words, run, place):
    """A name that is no folder's, or a host that is no address, makes no key."""
    run("chain", "node", *words, exit_code=3)
    assert not (place / words[0]).exists()
