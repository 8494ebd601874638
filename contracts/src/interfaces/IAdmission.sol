// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Deal} from "../types/Orders.sol";

/// @title Either side backs out while the input is being fetched
interface IAdmission {
    /// The parties burned these amounts of the deal's token.
    event AdmissionCancelled(
        bytes32 indexed dealId, address indexed by, uint256 burnedByBuyer, uint256 burnedByProvider
    );

    error NotParty();
    error AdmissionOver();

    /// @notice Either side cancels a deal in its admission window (the input cannot be fetched,
    /// say). Both burn an equal fee, a bid at most once; a provider that cancels is barred from
    /// the bid.
    function cancelAdmission(Deal calldata deal) external;
}
