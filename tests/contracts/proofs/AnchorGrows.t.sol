// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {CODE} from "./Code.sol";

interface Cheats {
    function enableSymbolicStorage(address) external;
}

struct Signature {
    bytes32 r;
    bytes32 vs;
}

struct Anchor {
    uint64 size;
    bytes32 root;
    uint64 time;
    uint64 number;
}

interface CheckpointAnchor {
    function open_log(bytes32, address[] calldata, uint64) external returns (bytes32);
    function advance(bytes32, uint64, bytes32, bytes32[] calldata, Signature[] calldata) external;
    function rotate(bytes32, address[] calldata, uint64, Signature[] calldata, Signature[] calldata) external;
    function report_split(bytes32, uint64, uint64, bytes32, Signature[] calldata, bytes32, Signature[] calldata)
        external;
    function anchors(bytes32) external view returns (uint256);
    function anchor_at(bytes32, uint256) external view returns (Anchor memory);
    function root_at(bytes32, uint64) external view returns (bytes32);
}

/// Whatever state a CheckpointAnchor is in, and whatever is sent to it: no log's newest size
/// shrinks, and a root that is anchored at a size stays.
///
/// The contract is the committed bytecode, its storage is symbolic: any state, also those that no
/// sequence of calls leads to. That is induction: the one thing assumed of the state before a call
/// (nothing is anchored above the newest size) is asserted of the state after it, and holds of the
/// empty storage of a new contract. SHA-256 and ecrecover are any functions at all.
contract AnchorGrows {
    Cheats constant CHEATS = Cheats(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
    // Above this, the walk along a proof has too many ways for a symbolic executor.
    uint64 constant BOUND = 256;

    CheckpointAnchor anchor;

    function setUp() public {
        bytes memory code = CODE;
        address made;
        assembly {
            made := create(0, add(code, 32), mload(code))
        }
        require(made != address(0));
        anchor = CheckpointAnchor(made);
        CHEATS.enableSymbolicStorage(made);
    }

    function newest(bytes32 id) internal view returns (uint64) {
        uint256 count = anchor.anchors(id);
        return count == 0 ? 0 : anchor.anchor_at(id, count - 1).size;
    }

    function rootAt(bytes32 id, uint64 size) internal view returns (bytes32) {
        try anchor.root_at(id, size) returns (bytes32 root) {
            return root;
        } catch {
            return 0;
        }
    }

    /// For any log and size, whichever log the call is about.
    modifier keeps(bytes32 watched, uint64 at) {
        uint64 sizeBefore = newest(watched);
        bytes32 rootBefore = rootAt(watched, at);
        if (rootBefore != 0 && at > sizeBefore) return;
        _;
        uint64 sizeAfter = newest(watched);
        bytes32 rootAfter = rootAt(watched, at);
        assert(sizeAfter >= sizeBefore);
        assert(rootBefore == 0 || rootAfter == rootBefore);
        assert(rootAfter == 0 || at <= sizeAfter);
    }

    function check_advance(
        bytes32 watched,
        uint64 at,
        bytes32 id,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof,
        Signature[] calldata signatures
    ) public keeps(watched, at) {
        if (size >= BOUND) return;
        try anchor.advance(id, size, root, proof, signatures) {} catch {}
    }

    function check_open_log(
        bytes32 watched,
        uint64 at,
        bytes32 origin,
        address[] calldata members,
        uint64 threshold
    ) public keeps(watched, at) {
        try anchor.open_log(origin, members, threshold) {} catch {}
    }

    function check_rotate(
        bytes32 watched,
        uint64 at,
        bytes32 id,
        address[] calldata members,
        uint64 threshold,
        Signature[] calldata signatures,
        Signature[] calldata acceptances
    ) public keeps(watched, at) {
        try anchor.rotate(id, members, threshold, signatures, acceptances) {} catch {}
    }

    function check_report_split(
        bytes32 watched,
        uint64 at,
        bytes32 id,
        uint64 epoch,
        uint64 size,
        bytes32 rootA,
        Signature[] calldata signaturesA,
        bytes32 rootB,
        Signature[] calldata signaturesB
    ) public keeps(watched, at) {
        try anchor.report_split(id, epoch, size, rootA, signaturesA, rootB, signaturesB) {} catch {}
    }

    /// False, and has to be refuted: otherwise the proofs above would be about calls that all fail.
    function check_no_call_succeeds(
        bytes32 id,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof,
        Signature[] calldata signatures
    ) public {
        if (size >= BOUND) return;
        try anchor.advance(id, size, root, proof, signatures) {
            assert(newest(id) != size);
        } catch {}
    }
}
