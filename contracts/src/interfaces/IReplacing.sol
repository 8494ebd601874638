// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OpenCall} from "../types/Calls.sol";
import {Deal, Offer} from "../types/Orders.sol";

/// @title A better offer takes the place of a deal within its rank window
interface IReplacing {
    /// `dealId` has the place of `displacedId` now. `sender` paid the idle fee to the displaced provider, and
    /// a tip to the buyer, who had paid the displaced opener one.
    event DealReplaced(
        bytes32 indexed displacedId, bytes32 indexed dealId, address indexed sender, uint256 idleFee
    );

    /// The deal's bid asked for no window, or it is over, or the deal has replaced another one.
    error RankWindowOver();
    /// The bid or the offer is not the one of which the deal was made.
    error OrderMismatch();
    /// Its score is not at least 1% below that of the displaced offer.
    error NotBetter();

    /// @notice Replaces an open deal within the bid's rank window, counted from the block of its opening,
    /// by one for the same tasks with an offer at least 1% better. The match must pass all that opening
    /// asks for. Anybody may send it, once for a deal; the sender pays the displaced provider for the
    /// time in which its slot was held, and pays back the tip of the displaced opening, which the displaced
    /// opener keeps; it gets the tip of its own.
    function replace(OpenCall calldata call, Deal calldata displaced, Offer calldata displacedOffer)
        external
        returns (bytes32 dealId);
}
