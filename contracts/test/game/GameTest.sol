// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGame} from "../../src/interfaces/IGame.sol";
import {Hashing} from "../../src/market/Hashing.sol";
import {
    ChallengeCall, ClaimedTask, GameKey, GameParameters, Image, InputOpening, Memory, Part, Standing
} from "../../src/types/Disputes.sol";
import {Bid, Claim, Deal, JobSpec, Offer} from "../../src/types/Orders.sol";
import {MarketTest} from "../base/MarketTest.sol";
import {TraceMachine} from "./TraceMachine.sol";

/// @dev A market with its game, deals of two tasks, and both parties of a dispute, each of which
/// asserts the states of one trace: the true one, or one that leaves it at some step.
abstract contract GameTest is MarketTest {
    uint32 internal constant INCLUSION = 600;
    uint64 internal constant INTERPRETER_SPEED = 1e8;
    /// As on a public chain, half of the floor holds more than a winner's gas at this price.
    uint64 internal constant GAS_PRICE_CAP = 3 gwei;
    uint128 internal constant RUN_PRICE = 1e9;
    // What refunds follow: src/game/Terms.sol.
    uint256 internal constant CHALLENGE_GAS = 380_000;
    uint256 internal constant SECTION_GAS = 65_000;
    uint256 internal constant FINISH_GAS = 350_000;
    uint256 internal constant CLOCK = INCLUSION + CYCLE_LIMIT / INTERPRETER_SPEED;
    uint256 internal constant TRACE_LENGTH = 1_000_003;
    uint256 internal constant TRUE = type(uint256).max;
    address internal constant CHALLENGER = address(0xc4a);

    /// @dev What a party believes of a task: the true trace up to step `until`, then states of its
    /// own, and at the end `halted`.
    struct Belief {
        uint256 task;
        uint256 until;
        bytes32 halted;
    }

    /// @dev A list that a party has asserted, and which steps it is about.
    struct List {
        bytes32 before;
        bytes32[16] ends;
        uint256 offset;
        /// Steps of one part.
        uint256 width;
    }

    TraceMachine internal machine;
    IGame internal game;

    function setUp() public virtual override {
        super.setUp();
        machine = new TraceMachine();
        bytes memory creation = abi.encodePacked(vm.getCode(gameArtifact()), abi.encode(gameParameters()));
        address created;
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
        // The market names it by the address that these tests fix.
        vm.etch(GAME, created.code);
        game = IGame(GAME);
        _grant(CHALLENGER);
        vm.fee(1 gwei);
    }

    function gameArtifact() internal pure virtual returns (string memory) {
        return "Game.sol:Game";
    }

    function gameParameters() internal view virtual returns (GameParameters memory) {
        return GameParameters({
            market: address(market),
            stepVerifier: address(machine),
            initialState: address(machine),
            audits: AUDITS,
            inclusionDelay: INCLUSION,
            interpreterSpeed: INTERPRETER_SPEED,
            gasPriceCap: GAS_PRICE_CAP,
            runPrice: RUN_PRICE
        });
    }

    /// @dev Coins on the market.
    function _grant(address account) internal {
        vm.deal(account, COINS);
        vm.prank(account);
        market.depositNative{value: COINS}();
    }

    // ---------------------------------------------------------------- jobs and claims

    /// @dev A second deal of the same parties, and a claim about it.
    function _another() internal returns (Deal memory deal, Claim memory made) {
        Bid memory bid = _bid(2);
        Offer memory offer = _offer();
        (bid.salt, offer.salt) = (3, 4);
        deal = _open(_call(bid, offer, 2));
        made = _claim(deal);
    }

    function _leaf(uint256 task) internal pure returns (bytes32) {
        return keccak256(abi.encode(task, keccak256(abi.encode("blake3", task)), Hashing.input(1000, _archive(task)), 1000));
    }

    function _archive(uint256 task) private pure returns (bytes32) {
        return keccak256(abi.encode("archive", task));
    }

    function _cycleLimit() internal pure virtual returns (uint64) {
        return CYCLE_LIMIT;
    }

    function _imageRoot() internal pure virtual returns (bytes32) {
        return keccak256("image");
    }

    function _job(uint32 tasks) internal pure virtual override returns (JobSpec memory job) {
        job = super._job(tasks);
        (job.cycleLimit, job.imageRoot) = (_cycleLimit(), _imageRoot());
        job.inputsRoot = tasks == 1 ? _leaf(0) : keccak256(abi.encode(_leaf(0), _leaf(1)));
    }

    /// @dev The result that the tests' claims assert for a task, and its halted state.
    function _halted(Deal memory deal, uint256 task) internal pure returns (bytes32) {
        return Hashing.halted(deal.jobHash, task, _cycles() + task, _inner(task));
    }

    function _claimedTask(Deal memory deal, uint32 task) internal pure returns (ClaimedTask memory claimed) {
        claimed = ClaimedTask(task, uint64(_cycles() + task), _inner(task), new bytes32[](deal.taskCount - 1));
        if (deal.taskCount == 2) claimed.path[0] = _halted(deal, 1 - task);
    }

    function _challengeCall(Deal memory deal, Claim memory made, uint32 task, bytes32 halted)
        internal
        view
        virtual
        returns (ChallengeCall memory call)
    {
        uint32 tasks = deal.taskCount;
        call.deal = deal;
        call.claim = made;
        call.job = _job(tasks);
        call.claimed = _claimedTask(deal, task);
        call.input = InputOpening(keccak256(abi.encode("blake3", uint256(task))), 1000, _archive(task), new bytes32[](tasks - 1));
        if (tasks == 2) call.input.path[0] = _leaf(1 - task);
        call.memories = new Memory[](1);
        call.halted = halted;
        call.bondMax = type(uint256).max;
    }

    /// @dev Challenges task 0 of a claim, whose true end the machine knows.
    function _challenge(Deal memory deal, Claim memory made, Belief memory belief, address challenger)
        internal
        returns (GameKey memory key)
    {
        vm.prank(challenger);
        game.challenge(_challengeCall(deal, made, uint32(belief.task), belief.halted));
        return GameKey(_claimHash(deal, made), uint32(belief.task), challenger, 0);
    }

    function _claimHash(Deal memory deal, Claim memory made) internal view returns (bytes32) {
        return Hashing.claimOf(market.hashDeal(deal), made);
    }

    // ---------------------------------------------------------------- beliefs

    /// @dev The claim is true: the machine halts as it says.
    function _true(Deal memory deal, uint256 task) internal returns (Belief memory) {
        bytes32 halted = _halted(deal, task);
        machine.set(task, TRACE_LENGTH, halted);
        return Belief(task, TRUE, halted);
    }

    /// @dev The claim is false: this is what the machine says.
    function _otherwise(uint256 task) internal returns (Belief memory) {
        bytes32 halted = keccak256(abi.encode("the truth", task));
        machine.set(task, TRACE_LENGTH, halted);
        return Belief(task, TRUE, halted);
    }

    function _state(Belief memory belief, uint256 step) internal view virtual returns (bytes32) {
        if (step <= belief.until && (belief.until == TRUE || step < TRACE_LENGTH)) return machine.state(belief.task, step);
        return step >= TRACE_LENGTH ? belief.halted : keccak256(abi.encode("a lie", belief.halted, step));
    }

    // ---------------------------------------------------------------- lists

    /// @dev What the claim asserts.
    function _claimed(Belief memory provider_, bytes32 asserted) internal view returns (List memory list) {
        list.before = _state(provider_, 0);
        for (uint256 i = 0; i < 16; ++i) {
            list.ends[i] = asserted;
        }
        list.width = 16 ** game.sectionsOf(_cycleLimit());
    }

    /// @dev The first part with whose end the belief disagrees; 16 if there is none.
    function _disputed(List memory list, Belief memory belief) internal view returns (uint256 i) {
        while (i < 16 && list.ends[i] == _state(belief, list.offset + (i + 1) * list.width)) ++i;
    }

    function _part(List memory list, uint256 index) internal pure returns (Part memory part) {
        bytes32[16] memory nodes;
        for (uint256 i = 0; i < 16; ++i) {
            nodes[i] = keccak256(abi.encode(i == 0 ? list.before : list.ends[i - 1], list.ends[i]));
        }
        part.index = uint8(index);
        for (uint256 width = list.width; width > 1; width /= 16) ++part.level;
        part.before = index == 0 ? list.before : list.ends[index - 1];
        part.end = list.ends[index];
        uint256 place = index;
        for (uint256 level = 0; level < 4; ++level) {
            part.path[level] = nodes[place ^ 1];
            place >>= 1;
            for (uint256 i = 0; i < 8; ++i) {
                nodes[i] = keccak256(abi.encode(nodes[2 * i], nodes[2 * i + 1]));
            }
        }
    }

    /// @dev The belief's own parts of part `index`.
    function _parts(List memory list, uint256 index, Belief memory belief) internal view returns (List memory parts) {
        parts.before = index == 0 ? list.before : list.ends[index - 1];
        parts.offset = list.offset + index * list.width;
        parts.width = list.width / 16;
        for (uint256 i = 0; i < 16; ++i) {
            parts.ends[i] = _state(belief, parts.offset + (i + 1) * parts.width);
        }
    }

    function _proof(List memory list, uint256 index, uint256 task) internal view virtual returns (bytes memory) {
        return abi.encode(task, list.offset + index * list.width);
    }

    /// @dev Plays on until somebody can not move any more; returns who can not, and the last list. A
    /// party that has no step to prove is silent.
    function _play(GameKey memory key, List memory list, Belief memory challenger, Belief memory provider_)
        internal
        returns (bool challengerWon)
    {
        Standing memory now_ = game.standing(key);
        while (true) {
            bool turn = now_.challengersTurn;
            Belief memory mover = turn ? challenger : provider_;
            uint256 index = _disputed(list, mover);
            if (index == 16) return !turn;
            address sender = turn ? key.challenger : provider;
            Part memory part = _part(list, index);
            if (now_.sectionsLeft == 0) {
                bytes memory proof = _proof(list, index, key.task);
                vm.prank(sender);
                try game.prove(key, part, proof) {
                    _spent(abi.encodeCall(game.prove, (key, part, proof)), turn);
                    return turn;
                } catch {
                    return !turn;
                }
            }
            List memory parts = _parts(list, index, mover);
            vm.prank(sender);
            game.section(key, part, parts.ends);
            _spent(abi.encodeCall(game.section, (key, part, parts.ends)), turn);
            list = parts;
            now_ = game.standing(key);
        }
    }

    /// @dev A party has sent this transaction.
    function _spent(bytes memory data, bool byChallenger) internal virtual {}

    /// @dev A whole dispute about task 0; silence runs into the clock.
    function _dispute(GameKey memory key, Belief memory challenger, Belief memory provider_) internal returns (bool won) {
        won = _play(key, _claimed(provider_, provider_.halted), challenger, provider_);
        Standing memory end = game.standing(key);
        if (uint256(end.status) == 1) {
            assertTrue(end.challengersTurn != won, "it is the loser's turn");
            vm.warp(block.timestamp + (won ? end.providerLeft : end.challengerLeft) + 1);
            game.timeout(key);
        }
    }
}
