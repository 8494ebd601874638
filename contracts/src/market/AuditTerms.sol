// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Deal} from "../types/Orders.sol";

/// @title Audit rate and fee, as a deal carries them
/// @dev They share a word with what the deal reserves, so that a deal without audits costs no gas for
/// them. Stated in Rust in `protocol/src/deal.rs`.
library AuditTerms {
    uint256 internal constant FEE_MAX = type(uint96).max;
    uint256 private constant RATE_SHIFT = 136;
    uint256 private constant FEE_SHIFT = 152;

    /// @dev Needs a rate below 2^16 and a fee of at most FEE_MAX.
    function pack(uint256 rateBps, uint256 fee_) internal pure returns (uint256) {
        return rateBps << RATE_SHIFT | fee_ << FEE_SHIFT;
    }

    /// @dev Basis points.
    function rate(Deal memory deal) internal pure returns (uint256) {
        return deal.resources >> RATE_SHIFT & type(uint16).max;
    }

    /// @dev Base units of the deal's token.
    function fee(Deal memory deal) internal pure returns (uint256) {
        return deal.resources >> FEE_SHIFT & FEE_MAX;
    }
}
