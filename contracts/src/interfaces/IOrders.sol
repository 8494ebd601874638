// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, Offer} from "../types/Orders.sol";

/// @title Signed orders: identity, cancellation, how much of a bid is taken
interface IOrders {
    event OrderCancelled(address indexed account, uint256 salt);
    event AllOrdersCancelled(address indexed account, uint64 counter);

    /// @notice Cancels the caller's order with this salt: no further deal opens from it.
    function cancelOrder(uint256 salt) external;
    /// @notice Cancels every order that the caller has signed so far.
    function cancelAll() external;

    /// @notice The counter that an account's orders must carry.
    function counterOf(address account) external view returns (uint64);
    /// @notice The bits of an order: cancelled; taken whole by one deal; has burned an admission
    /// fee; filled in parts.
    function orderState(address account, uint256 salt)
        external
        view
        returns (bool cancelled, bool taken, bool burned, bool partly);
    /// @notice Tasks of a bid that were handed out in parts (zero for a bid taken whole).
    function tasksTaken(bytes32 bidHash) external view returns (uint32);
    /// @notice Whether a provider has cancelled a deal of this bid and may not take it again.
    function isBarred(bytes32 bidHash, address provider) external view returns (bool);
    function domainSeparator() external view returns (bytes32);
    /// @notice The EIP-712 digest of a bid: its order id.
    function hashBid(Bid calldata bid) external view returns (bytes32);
    /// @notice The EIP-712 digest of an offer: its order id.
    function hashOffer(Offer calldata offer) external view returns (bytes32);
}
