// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Stake} from "../src/Stake.sol";
import {Token} from "../src/Token.sol";
import {IStake} from "../src/interfaces/IStake.sol";
import {Test} from "./base/Test.sol";

contract StakeTest is Test {
    uint256 private constant KEY = 0x57a;
    address private constant AUDITS = address(0x6a3e);
    address private constant CHALLENGER = address(0xc4a);
    uint32 private constant DELAY = 7 days;

    Token private token;
    Stake private stake;
    address private verifier;

    function setUp() public {
        vm.warp(1_900_000_000);
        verifier = vm.addr(KEY);
        token = new Token(verifier);
        stake = new Stake(token, AUDITS, DELAY);
        vm.prank(verifier);
        token.approve(address(stake), 1000);
    }

    function _stake(uint256 amount) private {
        vm.prank(verifier);
        stake.stake(amount);
    }

    function test_the_token_has_a_fixed_supply_and_18_decimals() public view {
        assertEq(token.totalSupply(), 1e27, "supply");
        assertEq(token.balanceOf(verifier), 1e27, "holder");
        assertEq(token.decimals(), 18, "decimals");
    }

    function test_stake_counts_at_once() public {
        _stake(600);
        assertEq(stake.stakeOf(verifier), 600, "stake");
        assertEq(token.balanceOf(address(stake)), 600, "tokens");
        vm.prank(verifier);
        vm.expectRevert(IStake.AmountZero.selector);
        stake.stake(0);
    }

    function test_a_permit_stakes_even_if_somebody_used_it_first() public {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(typeHash, verifier, address(stake), 2000, 0, block.timestamp));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
        token.permit(verifier, address(stake), 2000, block.timestamp, v, r, s);
        vm.prank(verifier);
        stake.stakeWithPermit(2000, block.timestamp, v, r, s);
        assertEq(stake.stakeOf(verifier), 2000, "stake");
    }

    function test_unbonding_takes_its_delay_to_the_second() public {
        _stake(600);
        vm.startPrank(verifier);
        vm.expectRevert(IStake.StakeInsufficient.selector);
        stake.requestUnbonding(601);
        vm.expectRevert(IStake.AmountZero.selector);
        stake.requestUnbonding(0);
        vm.expectRevert(IStake.NothingUnbonding.selector);
        stake.withdraw();
        stake.requestUnbonding(400);
        assertEq(stake.stakeOf(verifier), 200, "what counts");
        vm.warp(block.timestamp + DELAY - 1);
        vm.expectRevert(IStake.UnbondingTooEarly.selector);
        stake.withdraw();
        vm.warp(block.timestamp + 1);
        stake.withdraw();
        assertEq(token.balanceOf(verifier), 1e27 - 200, "paid out");
    }

    function test_a_second_request_starts_the_delay_again() public {
        _stake(600);
        vm.startPrank(verifier);
        stake.requestUnbonding(100);
        vm.warp(block.timestamp + DELAY);
        stake.requestUnbonding(100);
        vm.expectRevert(IStake.UnbondingTooEarly.selector);
        stake.withdraw();
        (uint256 amount,) = stake.unbondingOf(verifier);
        assertEq(amount, 200, "unbonding");
    }

    function test_a_slash_takes_stake_first_then_what_unbonds_and_burns_at_least_half() public {
        _stake(600);
        vm.prank(verifier);
        stake.requestUnbonding(400);
        vm.prank(AUDITS);
        assertEq(stake.slash(verifier, 300, CHALLENGER, 150), 300, "taken");
        assertEq(stake.stakeOf(verifier), 0, "stake");
        (uint256 unbonding,) = stake.unbondingOf(verifier);
        assertEq(unbonding, 300, "unbonding");
        assertEq(stake.stakeOf(CHALLENGER), 150, "reward");
        assertEq(stake.burned(), 150, "burned");
        vm.prank(AUDITS);
        assertEq(stake.slash(verifier, 1000, CHALLENGER, 0), 300, "no more than there is");
    }

    function test_only_the_game_slashes_and_rewards_at_most_half() public {
        _stake(600);
        vm.expectRevert(IStake.NotAudits.selector);
        stake.slash(verifier, 1, CHALLENGER, 0);
        vm.prank(AUDITS);
        vm.expectRevert(IStake.RewardTooLarge.selector);
        stake.slash(verifier, 101, CHALLENGER, 51);
    }

    function testFuzz_stake_unbonding_and_burned_add_up_to_the_tokens_held(
        uint256 staked,
        uint256 unbonded,
        uint256 slashed,
        uint256 reward
    ) public {
        staked = bound(staked, 1, 1000);
        unbonded = bound(unbonded, 1, staked);
        slashed = bound(slashed, 0, 1200);
        _stake(staked);
        vm.prank(verifier);
        stake.requestUnbonding(unbonded);
        uint256 taken = slashed < staked ? slashed : staked;
        vm.prank(AUDITS);
        stake.slash(verifier, slashed, CHALLENGER, bound(reward, 0, taken / 2));
        (uint256 unbonding,) = stake.unbondingOf(verifier);
        assertEq(
            stake.stakeOf(verifier) + stake.stakeOf(CHALLENGER) + unbonding + stake.burned(),
            token.balanceOf(address(stake)),
            "sum"
        );
    }
}
