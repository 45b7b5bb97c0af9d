"""The files of a consortium's chain: one folder for each member, to run Besu with.

    NETWORK/README.md             the steps, and what to compare
    NETWORK/compose.yaml          all nodes on this machine; only where all keys were made here
    NETWORK/NAME/genesis.json     the first block: the same for all
    NETWORK/NAME/static-nodes.json  where the others are
    NETWORK/NAME/config.toml      Besu's options
    NETWORK/NAME/compose.yaml     this member's node alone
    NETWORK/NAME/data/key         the node's private key, mode 0600; from its member, if made there

Options are those of Besu 26.3. Nothing here starts Besu.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from counterfoil.chain.genesis import Network, NetworkMember, format_genesis
from counterfoil.errors import ConflictError
from counterfoil.ledger.disk import reported

BESU_IMAGE = "hyperledger/besu:26.3.0"
"""The container image that the files were written for."""

KEY_FILE = "data/key"
"""Where a node's key lies in its folder: Besu looks for it there by itself."""

RPC_PORT = 8545
"""Where a node answers applications, on its own machine only."""

P2P_PORT = 30303
"""Where nodes on one machine reach each other, each at an address of its own."""

_KEY_BYTES = 32
_TRIAL_SUBNET = "172.16.239"


def make_node_key() -> tuple[bytes, bytes]:
    """Make the key of a node: private (32 bytes) and public (64 bytes), on secp256k1."""
    private = generate_private_key(SECP256K1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return private.private_numbers().private_value.to_bytes(_KEY_BYTES, "big"), point[1:]


def make_trial(count: int) -> tuple[tuple[NetworkMember, ...], dict[str, bytes]]:
    """Make members with all their private keys (by name), for a network on one machine."""
    members, keys = [], {}
    for place in range(count):
        name = f"member{place + 1}"
        keys[name], public = make_node_key()
        members.append(NetworkMember(name, public, f"{_TRIAL_SUBNET}.{place + 2}", P2P_PORT))
    return tuple(members), keys


def write_node(folder: Path, private: bytes) -> None:
    """Write the folder of one member, with its node's key and nothing else yet.

    Raises:
        ConflictError: There is something of that name already.
        UnavailableError: The disk refuses; nothing is left behind.
    """
    _write_folder(folder, {KEY_FILE: _format_key(private)})


def write_network(
    folder: Path, network: Network, keys: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """Write everything that members need to start their nodes.

    Args:
        folder: A new one.
        network: What is written.
        keys: Private keys by member's name, where all were made here: only to try things out.

    Returns:
        What was written, by path in the folder.

    Raises:
        ConflictError: There is something of that name already.
        UnavailableError: The disk refuses; nothing is left behind.
    """
    genesis = format_genesis(network)
    files = {"README.md": _format_readme(network, genesis, is_trial=keys is not None)}
    for member in network.members:
        files[f"{member.name}/genesis.json"] = genesis
        files[f"{member.name}/static-nodes.json"] = format_static_nodes(network, member)
        files[f"{member.name}/config.toml"] = format_config(network, member)
        files[f"{member.name}/compose.yaml"] = _format_compose(member)
        if keys is not None:
            files[f"{member.name}/{KEY_FILE}"] = _format_key(keys[member.name])
    if keys is not None:
        files["compose.yaml"] = _format_trial_compose(network)
    _write_folder(folder, files)
    return files


def format_static_nodes(network: Network, member: NetworkMember) -> bytes:
    """Write static-nodes.json of a member: all others, who find each other by nothing else."""
    others = sorted(one.enode for one in network.members if one != member)
    return json.dumps(others, indent=2).encode() + b"\n"


def format_config(network: Network, member: NetworkMember) -> bytes:
    """Write Besu's config.toml of a member."""
    gas = "min-gas-price=0\n" if network.is_free else ""
    return f"""\
# The node of {member.name}, for Besu 26.3: options of the command line, without the dashes.

data-path="/var/lib/besu"
genesis-file="/network/genesis.json"

# The members find each other by this list, and by nothing else.
static-nodes-file="/network/static-nodes.json"
discovery-enabled=false
p2p-host="{member.host}"
p2p-port={member.port}

# Applications on this machine. No QBFT here: whoever can ask for it votes in this member's name.
rpc-http-enabled=true
rpc-http-host="0.0.0.0"
rpc-http-port={RPC_PORT}
rpc-http-api=["ETH","NET","WEB3"]

# All blocks and all states: a proof can be had of an anchor of any age.
sync-mode="FULL"
data-storage-format="FOREST"
{gas}""".encode()


def _format_compose(member: NetworkMember) -> bytes:
    return f"""\
# The node of {member.name}. The image's own start gives ./data to its user number 1000.
services:
  besu:
    image: {BESU_IMAGE}
    command: ["--config-file=/network/config.toml"]
    restart: unless-stopped
    volumes:
      - ./config.toml:/network/config.toml:ro
      - ./genesis.json:/network/genesis.json:ro
      - ./static-nodes.json:/network/static-nodes.json:ro
      - ./data:/var/lib/besu
    ports:
      - "{member.port}:{member.port}"
      - "127.0.0.1:{RPC_PORT}:{RPC_PORT}"
""".encode()


def _format_trial_compose(network: Network) -> bytes:
    services = "".join(
        f"""\
  {member.name}:
    image: {BESU_IMAGE}
    command: ["--config-file=/network/config.toml"]
    volumes:
      - ./{member.name}/config.toml:/network/config.toml:ro
      - ./{member.name}/genesis.json:/network/genesis.json:ro
      - ./{member.name}/static-nodes.json:/network/static-nodes.json:ro
      - ./{member.name}/data:/var/lib/besu
    ports:
      - "127.0.0.1:{RPC_PORT + place}:{RPC_PORT}"
    networks:
      consortium:
        ipv4_address: {member.host}
"""
        for place, member in enumerate(network.members)
    )
    return f"""\
# All nodes on one machine, to try things out: whoever has it has every key, and is the consortium.
services:
{services}\
networks:
  consortium:
    ipam:
      config:
        - subnet: {_TRIAL_SUBNET}.0/24
""".encode()


def _format_readme(network: Network, genesis: bytes, *, is_trial: bool) -> bytes:
    rows = "\n".join(
        f"| {one.name} | `0x{one.address.hex()}` | `{one.host}:{one.port}` |"
        for one in sorted(network.members, key=lambda one: one.name)
    )
    digest = hashlib.sha256(genesis).hexdigest()
    steps = _TRIAL_STEPS if is_trial else _STEPS
    fees = (
        "Gas is free: transactions cost nothing, and whoever reaches a node can send some."
        if network.is_free
        else "Transactions cost gas; the accounts named at the start have a million coins each."
    )
    return f"""\
# A chain between {len(network.members)} members

Besu 26.3, consensus QBFT, chain id {network.id}, a block every {network.block_period_s} seconds \
at the earliest. {fees}

| member | validator | reached at |
| --- | --- | --- |
{rows}

`genesis.json` is the same file in every folder. Its SHA-256, which members compare by another way
than the files came:

    {digest}

{steps}
Then, with a profile that says what you believe about this chain:

    counterfoil chain status --rpc http://127.0.0.1:{RPC_PORT} \\
        --chain-id {network.id} --finality immediate

With {len(network.members)} members, \
{(len(network.members) - 1) // 3} may fail or lie and the chain goes on. A block is final when \
{-(-2 * len(network.members) // 3)} have sealed it.
""".encode()


_TRIAL_STEPS = """\
## Try it out

All keys were made on this machine, so that one hand holds all votes: this proves nothing to
anybody. For a real network each member makes its own key: `counterfoil chain node`.

    docker compose up -d
"""

_STEPS = """\
## Start your node

Take the folder with your name, put the `data` folder with your key into it, and let nobody else
have that. Your machine must be reachable at the address and port above, and by the others only.

    cp -R data NAME/
    cd NAME && docker compose up -d

Blocks begin when two thirds of the nodes have found each other.
"""


def _format_key(private: bytes) -> bytes:
    return f"0x{private.hex()}".encode()


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a whole folder in place: if we stop before the end, nothing of that name is there."""
    if os.path.lexists(folder):
        raise ConflictError(
            f"there is a {folder} already", hint="Nothing is overwritten; give another name."
        )
    with reported(f"cannot write {folder}"):
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
        try:
            for name, data in files.items():
                path = made / name
                is_private = name.endswith(KEY_FILE)
                for above in reversed(path.relative_to(made).parents[:-1]):
                    (made / above).mkdir(0o700 if above.name == "data" else 0o755, exist_ok=True)
                path.touch(0o600 if is_private else 0o644)
                path.write_bytes(data)
            made.chmod(0o755)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
