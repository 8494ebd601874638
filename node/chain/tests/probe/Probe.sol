// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// What the tests of outcry-chain read from and send to. Probe.hex is its creation code: solc
/// 0.8.37, optimizer on (200 runs), no metadata.
contract Probe {
    event Noted(address indexed by, uint256 value);

    error TooSmall(uint256 value, uint256 least);
    error Taken(uint256 slot);

    uint256 public total;
    mapping(uint256 => bool) public taken;

    /// Logs `value`, which must be at least 10.
    function note(uint256 value) external payable {
        if (value < 10) revert TooSmall(value, 10);
        total += value;
        emit Noted(msg.sender, value);
    }

    /// Succeeds once for each slot.
    function take(uint256 slot) external {
        if (taken[slot]) revert Taken(slot);
        taken[slot] = true;
        emit Noted(msg.sender, slot);
    }
}
