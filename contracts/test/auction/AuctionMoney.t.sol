// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAuction} from "../../src/interfaces/IAuction.sol";
import {TestToken} from "../../src/testing/TestToken.sol";
import {AuctionOrder, AuctionParameters, FillGroup, GroupProof} from "../../src/types/Auctions.sol";
import {Bid, Claim, Deal, JobSpec} from "../../src/types/Orders.sol";
import {FeeToken, ReentrantToken, RefusingToken, SurchargeToken} from "../tokens/HostileTokens.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev Tokens that do not do what they are told.
contract AuctionMoneyTest is AuctionTest {
    function _in(TestToken coin) private returns (IAuction hostile) {
        AuctionParameters memory p = auctionParameters();
        p.token = address(coin);
        hostile = IAuction(_created(p, auctionPools()));
        coin.mint(address(this), 10_000);
        coin.approve(address(hostile), 10_000);
    }

    function test_a_token_that_moves_less_than_it_was_told_to_is_refused() public {
        IAuction hostile = _in(new FeeToken());
        _refuses(IAuction.TokenTakesFee.selector);
        hostile.deposit(1000);
    }

    function test_a_token_that_charges_the_auction_for_a_withdrawal_is_refused() public {
        SurchargeToken coin = new SurchargeToken();
        IAuction hostile = _in(coin);
        hostile.deposit(1000);
        coin.setCharging(true);
        _refuses(IAuction.TokenTakesFee.selector);
        hostile.withdraw(500);
        coin.setCharging(false);
        hostile.withdraw(1000);
    }

    function test_a_token_that_moves_nothing_is_refused() public {
        IAuction hostile = _in(new RefusingToken());
        vm.expectRevert();
        hostile.deposit(1000);
    }

    function test_no_more_than_128_bits_are_held() public {
        uint256 most = type(uint128).max - auction.totalHeld();
        token.mint(address(this), most + 1);
        token.approve(address(auction), most + 1);
        _refuses(IAuction.AmountTooLarge.selector);
        auction.deposit(most + 1);
        auction.deposit(most);
    }

    function test_nothing_runs_while_the_token_is_called() public {
        ReentrantToken coin = new ReentrantToken();
        IAuction hostile = _in(coin);
        bytes[] memory calls = _calls();
        for (uint256 i = 0; i < calls.length; ++i) {
            coin.setCall(address(hostile), calls[i]);
            hostile.deposit(1);
            _requireRefused(coin);
            coin.setCall(address(hostile), calls[i]);
            hostile.withdraw(1);
            _requireRefused(coin);
        }
    }

    function _requireRefused(ReentrantToken coin) private view {
        assertTrue(!coin.succeeded(), "refused");
        assertEq(
            bytes32(bytes4(coin.answer())),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "by the guard"
        );
    }

    /// @dev Every function that changes state.
    function _calls() private pure returns (bytes[] memory calls) {
        AuctionOrder memory order;
        GroupProof memory group;
        Bid memory bid;
        Deal memory deal;
        Claim memory claim;
        JobSpec memory job;
        calls = new bytes[](20);
        calls[0] = abi.encodeCall(IAuction.deposit, (1));
        calls[1] = abi.encodeCall(IAuction.withdraw, (1));
        calls[2] = abi.encodeCall(IAuction.commit, (0, 0, 1000));
        calls[3] = abi.encodeCall(IAuction.reveal, (0, order));
        calls[4] = abi.encodeCall(IAuction.forfeit, (0, address(0), 0));
        calls[5] = abi.encodeCall(IAuction.post, (0, 0, new uint64[](0), new FillGroup[](0)));
        calls[6] = abi.encodeCall(
            IAuction.disprove, (0, 1, new uint64[](0), new GroupProof[](0), group, new AuctionOrder[](0))
        );
        calls[7] = abi.encodeCall(IAuction.collect, (0, 1));
        calls[8] = abi.encodeCall(IAuction.settle, (0, 0, order, new uint64[](0), group));
        calls[9] = abi.encodeCall(IAuction.release, (0, 0, order, new GroupProof[](0)));
        calls[10] = abi.encodeCall(IAuction.earn, (0, 0));
        calls[11] = abi.encodeCall(IAuction.reclaim, (0, 0));
        calls[12] = abi.encodeCall(IAuction.bind, (0, 0, 0, 1));
        calls[13] = abi.encodeCall(IAuction.draw, (0, 0, 0, bid, "", job));
        calls[14] = abi.encodeCall(IAuction.answer, (0, deal, claim));
        calls[15] = abi.encodeCall(IAuction.giveBack, (0));
        calls[16] = abi.encodeCall(IAuction.refuse, (0, bid));
        calls[17] = abi.encodeCall(IAuction.fail, (0, deal));
        calls[18] = abi.encodeCall(IAuction.lapse, (0));
        calls[19] = abi.encodeCall(IAuction.refund, (0, 0, order, new uint64[](0), group));
    }
}
