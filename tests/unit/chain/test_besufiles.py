from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import stat
import tomllib
from pathlib import Path

import pytest
import yaml
from eth_keys.datatypes import PrivateKey

from counterfoil.chain.besufiles import make_node_key, make_trial, write_network, write_node
from counterfoil.chain.genesis import Network, format_genesis, parse_member
from counterfoil.errors import ConflictError, UnavailableError

# Options of Besu 26.3 and what each takes, from its documentation and its own list of all options.
OPTIONS = {
    "data-path": str,
    "genesis-file": str,
    "static-nodes-file": str,
    "discovery-enabled": bool,
    "p2p-host": str,
    "p2p-port": int,
    "rpc-http-enabled": bool,
    "rpc-http-host": str,
    "rpc-http-port": int,
    "rpc-http-api": list,
    "sync-mode": str,
    "data-storage-format": str,
    "min-gas-price": int,
}


@pytest.fixture
def trial(tmp_path):
    """A network with all keys, as it is tried out."""
    members, keys = make_trial(4)
    network = Network(members)
    files = write_network(tmp_path / "network", network, keys)
    return network, keys, files, tmp_path / "network"


def test_every_member_has_a_folder_of_its_own(trial):
    """A folder holds what one member needs, and no key but its own."""
    network, keys, files, folder = trial
    for member in network.members:
        inside = {str(p.relative_to(folder / member.name)) for p in files_in(folder / member.name)}
        assert inside == {
            "genesis.json",
            "static-nodes.json",
            "config.toml",
            "compose.yaml",
            "data/key",
        }
        for other in network.members:
            for path in files_in(folder / member.name):
                has = keys[other.name].hex() in path.read_text("utf-8")
                assert has == (path.name == "key" and other is member)
    assert {str(p.relative_to(folder)): p.read_bytes() for p in files_in(folder)} == files


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_keys_are_their_owners_alone(trial):
    """A node's key can be read by nobody else, and is the key of the member's address."""
    network, _, _, folder = trial
    for member in network.members:
        path = folder / member.name / "data" / "key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        text = path.read_text("ascii")
        assert re.fullmatch(r"0x[0-9a-f]{64}", text)
        key = PrivateKey(bytes.fromhex(text[2:])).public_key
        assert (key.to_bytes(), key.to_canonical_address()) == (member.key, member.address)


def test_no_key_is_written_where_members_made_their_own(tmp_path):
    """A network of public halves holds no private key, and no file that starts all nodes."""
    members, _ = make_trial(4)
    files = write_network(tmp_path / "network", Network(members))
    assert not [name for name in files if "key" in name or name == "compose.yaml"]
    assert "Start your node" in files["README.md"].decode()
    assert "Try it out" not in files["README.md"].decode()


def test_options_are_besus(trial):
    """Every option in config.toml is one that Besu has, with a value of its type."""
    network, _, files, _ = trial
    for member in network.members:
        config = tomllib.loads(files[f"{member.name}/config.toml"].decode())
        assert {name: type(value) for name, value in config.items()} == OPTIONS
        assert (config["p2p-host"], config["p2p-port"]) == (member.host, member.port)
        assert config["discovery-enabled"] is False
        assert set(config["rpc-http-api"]) == {"ETH", "NET", "WEB3"}
    costly = write_network(
        trial[3].parent / "costly", Network(network.members, funded=("0x" + "11" * 20,))
    )
    assert "min-gas-price" not in tomllib.loads(costly["member1/config.toml"].decode())


def test_a_node_knows_all_others(trial):
    """static-nodes.json lists every other member once, where it is, by its key."""
    network, _, files, _ = trial
    for member in network.members:
        nodes = json.loads(files[f"{member.name}/static-nodes.json"])
        others = {one for one in network.members if one != member}
        assert {parse_member(f"{name_of(network, node)}={node}") for node in nodes} == others
        assert len(nodes) == len(others)


def name_of(network: Network, enode: str) -> str:
    return next(one.name for one in network.members if one.key.hex() in enode)


def test_all_have_one_first_block(trial):
    """genesis.json is the same in every folder, and README.md has its digest."""
    network, _, files, _ = trial
    genesis = format_genesis(network)
    assert all(files[f"{one.name}/genesis.json"] == genesis for one in network.members)
    assert hashlib.sha256(genesis).hexdigest() in files["README.md"].decode()


def test_containers_find_the_files_and_each_other(trial):
    """Compose mounts every file that config.toml names, and each node has its own address."""
    network, _, files, folder = trial
    text = files["compose.yaml"].decode()
    subnet = ipaddress.ip_network(re.search(r"subnet: (\S+)", text)[1])
    for place, member in enumerate(network.members):
        assert f"ipv4_address: {member.host}\n" in text
        assert ipaddress.ip_address(member.host) in subnet
        assert f'"127.0.0.1:{8545 + place}:8545"' in text
        config = tomllib.loads(files[f"{member.name}/config.toml"].decode())
        alone = files[f"{member.name}/compose.yaml"].decode()
        for option in ("genesis-file", "static-nodes-file"):
            name = Path(config[option]).name
            assert f"- ./{member.name}/{name}:{config[option]}:ro\n" in text
            assert f"- ./{name}:{config[option]}:ro\n" in alone
            assert (folder / member.name / name).exists()
        assert f"- ./{member.name}/data:{config['data-path']}\n" in text
        assert f"- ./data:{config['data-path']}\n" in alone
        assert f'"{member.port}:{member.port}"' in alone
        assert '"127.0.0.1:8545:8545"' in alone
        assert "image: hyperledger/besu:26.3.0\n" in alone


def test_compose_is_yaml(trial):
    """Each compose.yaml is YAML with services, and no line is lost in its indentation."""
    network, _, files, _ = trial
    whole = yaml.safe_load(files["compose.yaml"])
    assert set(whole["services"]) == {one.name for one in network.members}
    for service in whole["services"].values():
        assert set(service) == {"image", "command", "volumes", "ports", "networks"}
    alone = yaml.safe_load(files["member1/compose.yaml"])
    assert set(alone["services"]["besu"]) == {"image", "command", "restart", "volumes", "ports"}


def test_nothing_is_overwritten(trial, tmp_path):
    """Where there is something already nothing is written, and nothing is lost."""
    network, keys, files, folder = trial
    with pytest.raises(ConflictError):
        write_network(folder, network, keys)
    assert {str(p.relative_to(folder)): p.read_bytes() for p in files_in(folder)} == files
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("mine")
    for name in ("empty", "link", "file"):
        with pytest.raises(ConflictError):
            write_node(tmp_path / name, b"\x01" * 32)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    """If the disk refuses half-way, nothing of that name is there, and no key lies around."""
    members, keys = make_trial(4)
    written = []
    write = Path.write_bytes

    def refuse(path, data):
        if len(written) == 7:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UnavailableError, match="No space"):
        write_network(tmp_path / "network", Network(members), keys)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UnavailableError):
        write_node(tmp_path / "no" / "such" / "folder", keys["member1"])


def test_keys_differ():
    """Every key is new, and its public half belongs to it."""
    private, public = make_node_key()
    assert PrivateKey(private).public_key.to_bytes() == public
    assert make_node_key()[0] != private
