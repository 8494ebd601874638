// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A provider's pool of slots, in one word
/// @dev Low bits first: open (32), the deals that hold a slot (opened, neither claimed nor failed);
/// cells (32), how many were ever used, numbered from 1, so that the word is never zero again;
/// vacant (32), the first vacant cell or zero.
type PoolWord is uint256;

using PoolWords for PoolWord global;

library PoolWords {
    uint256 private constant CELLS_SHIFT = 32;
    uint256 private constant VACANT_SHIFT = 64;

    function open(PoolWord word) internal pure returns (uint256) {
        return uint32(PoolWord.unwrap(word));
    }

    function cells(PoolWord word) internal pure returns (uint256) {
        return uint32(PoolWord.unwrap(word) >> CELLS_SHIFT);
    }

    function vacant(PoolWord word) internal pure returns (uint256) {
        return PoolWord.unwrap(word) >> VACANT_SHIFT;
    }

    /// @dev One more deal holds a slot. No overflow: an offer has fewer than 2^32 slots.
    function entered(PoolWord word) internal pure returns (PoolWord) {
        unchecked {
            return PoolWord.wrap(PoolWord.unwrap(word) + 1);
        }
    }

    /// @dev One less. Only a deal that entered leaves, and its word lets it leave once.
    function left(PoolWord word) internal pure returns (PoolWord) {
        unchecked {
            return PoolWord.wrap(PoolWord.unwrap(word) - 1);
        }
    }

    /// @dev One more cell is used. 2^32 cells would cost more gas than there is.
    function grown(PoolWord word) internal pure returns (PoolWord) {
        unchecked {
            return PoolWord.wrap(PoolWord.unwrap(word) + (1 << CELLS_SHIFT));
        }
    }

    function withVacant(PoolWord word, uint256 cell) internal pure returns (PoolWord) {
        return PoolWord.wrap(uint64(PoolWord.unwrap(word)) | cell << VACANT_SHIFT);
    }
}
