// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Rest, States} from "./State.sol";
import {Step} from "./Step.sol";
import {Leaf} from "./Trees.sol";

/// @dev An open memory or table: two words of a leaf of descriptors.
struct Descriptor {
    /// The leaf with the descriptor.
    Leaf leaf;
    uint256 index;
    bool ofTable;
}

using Descriptors for Descriptor global;

/// @title Descriptors of memories and tables
library Descriptors {
    /// log2 of a page's bytes.
    uint256 internal constant PAGE_BITS = 16;

    function memory_(Step memory step, uint256 index) internal pure returns (Descriptor memory) {
        return Descriptor(step.open(step.state.memories, step.depthAt(136), index >> 1), index, false);
    }

    /// @dev Opens the rest as well.
    function table(Step memory step, uint256 index) internal pure returns (Descriptor memory) {
        Rest memory rest = step.openRest();
        return Descriptor(step.open(rest.tables, step.depthAt(128), index >> 1), index, true);
    }

    /// @dev Another descriptor of the same kind, in the same leaf where it is there.
    function sibling(Descriptor memory descriptor, Step memory step, uint256 index)
        internal
        pure
        returns (Descriptor memory)
    {
        if (index >> 1 == descriptor.index >> 1) return Descriptor(descriptor.leaf, index, descriptor.ofTable);
        return descriptor.ofTable ? table(step, index) : memory_(step, index);
    }

    /// @dev In pages or entries.
    function size(Descriptor memory descriptor) internal pure returns (uint256) {
        return _packed(descriptor) >> 224;
    }

    function maximum(Descriptor memory descriptor) internal pure returns (uint256) {
        return (_packed(descriptor) >> 192) & States.U32;
    }

    /// @dev Opens a leaf of the memory or table.
    function open(Descriptor memory descriptor, Step memory step, uint256 index) internal pure returns (Leaf) {
        bytes32 root = bytes32(descriptor.leaf.word(descriptor.index << 1));
        return step.open(root, (_packed(descriptor) >> 184) & 0xff, index);
    }

    /// @dev Makes the root that of a leaf's tree, which changed.
    function update(Descriptor memory descriptor, Step memory step, Leaf changed) internal pure {
        descriptor.leaf.setWord(descriptor.index << 1, uint256(changed.root()));
        _store(descriptor, step);
    }

    function grow(Descriptor memory descriptor, Step memory step, uint256 by) internal pure {
        unchecked {
            descriptor.leaf.setWord((descriptor.index << 1) | 1, _packed(descriptor) + (by << 224));
        }
        _store(descriptor, step);
    }

    function _packed(Descriptor memory descriptor) private pure returns (uint256) {
        return descriptor.leaf.word((descriptor.index << 1) | 1);
    }

    function _store(Descriptor memory descriptor, Step memory step) private pure {
        bytes32 root = descriptor.leaf.root();
        if (descriptor.ofTable) step.rest.tables = root;
        else step.state.memories = root;
    }
}
