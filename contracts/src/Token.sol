// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The protocol's token: staked and bonded, never a means of payment
/// @notice ERC-20 with permit. The whole supply is minted once; nobody can mint, pause or freeze.
contract Token is ERC20, ERC20Permit {
    /// @notice 10^9 tokens of 18 decimals.
    uint256 public constant SUPPLY = 1e9 * 1e18;

    constructor(address holder) ERC20("Outcry", "CRY") ERC20Permit("Outcry") {
        _mint(holder, SUPPLY);
    }
}
