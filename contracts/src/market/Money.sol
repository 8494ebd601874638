// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The arithmetic of prices
/// @dev Stated in Rust in `protocol/src/money.rs`; `protocol/vectors/money.json` binds the two.
/// Divisions round up where the buyer pays and down where a fee or a slash is taken.
library Money {
    /// Unit prices are base units per this many cycles.
    uint256 internal constant CYCLES_PER_UNIT = 1e18;
    uint256 internal constant BPS = 10_000;
    /// Bound of every signed price; with the bounds of cycles (2^48) and of resources (2^32) no sum
    /// or product below leaves 256 bits.
    uint256 internal constant PRICE_MAX = 1 << 100;

    /// @dev What one task costs. Needs `cycles` < 2^64, the other three < 2^128.
    function taskPrice(uint256 startFee, uint256 unitPrice, uint256 priceCap, uint256 cycles)
        internal
        pure
        returns (uint256 price)
    {
        price = uncappedPrice(startFee, unitPrice, cycles);
        if (price > priceCap) price = priceCap;
    }

    /// @dev What one task would cost without the buyer's cap.
    function uncappedPrice(uint256 startFee, uint256 unitPrice, uint256 cycles) internal pure returns (uint256) {
        unchecked {
            return startFee + (cycles * unitPrice + (CYCLES_PER_UNIT - 1)) / CYCLES_PER_UNIT;
        }
    }

    /// @dev What the provider locks for an escrow. Needs `escrow` < 2^128, `collateralBps` < 2^32.
    function collateral(uint256 escrow, uint256 collateralBps) internal pure returns (uint256) {
        unchecked {
            return (escrow * collateralBps + (BPS - 1)) / BPS;
        }
    }

    /// @dev `bps` of an amount below 2^128, rounded down.
    function share(uint256 amount, uint256 bps) internal pure returns (uint256) {
        unchecked {
            return amount * bps / BPS;
        }
    }
}
