// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGame} from "../../src/interfaces/IGame.sol";
import {IInitialState} from "../../src/interfaces/IInitialState.sol";
import {IStepVerifier} from "../../src/interfaces/IStepVerifier.sol";
import {States} from "../../src/machine/State.sol";
import {Hashing} from "../../src/market/Hashing.sol";
import {
    ChallengeCall, ClaimedTask, GameKey, GameParameters, Image, InputOpening, Memory
} from "../../src/types/Disputes.sol";
import {Bid, Claim, Deal, JobSpec, Offer} from "../../src/types/Orders.sol";
import {LeafIndex} from "../../src/types/Calls.sol";
import {BigWorld} from "../machine/BigWorld.sol";
import {Proof} from "../machine/StepTest.sol";
import {GameTest} from "./GameTest.sol";

/// @dev The dearest step of a large machine, in the largest frame there is.
contract DearestStep is BigWorld {
    function step() external returns (bytes32 before, bytes memory proof) {
        size = 1 << 15;
        (Proof memory p,) = _appendOutput();
        return (p.before, p.words);
    }
}

/// @dev States that are made up but for one step, which is a real one; and the real contract computes
/// the initial state, whatever the trace then starts with.
contract TraceWithStep {
    IStepVerifier private immutable STEP_VERIFIER;
    IInitialState private immutable INITIAL_STATE;
    /// The step after which the trace is at `before`.
    uint256 public constant STEP = 123_456;
    uint256 private constant LENGTH = 1 << 39;
    bytes32 public immutable BEFORE;
    bytes32 private immutable AFTER;
    bytes32 public constant HALTED = keccak256("the truth");

    constructor(IStepVerifier stepVerifier, IInitialState initialState_, bytes32 before, bytes memory proof) {
        (STEP_VERIFIER, INITIAL_STATE, BEFORE) = (stepVerifier, initialState_, before);
        AFTER = stepVerifier.transition(before, proof);
    }

    function state(uint256, uint256 step) external view returns (bytes32) {
        if (step >= LENGTH) return HALTED;
        return step == STEP ? BEFORE : step == STEP + 1 ? AFTER : keccak256(abi.encode("trace", step));
    }

    function initialState(Image calldata image, Memory[] calldata memories, JobSpec calldata job, uint32 task, uint64 length, bytes32 archive)
        external
        view
        returns (bytes32)
    {
        INITIAL_STATE.initialState(image, memories, job, task, length, archive);
        return keccak256(abi.encode("trace", uint256(0)));
    }

    function transition(bytes32 before, bytes calldata proof) external view returns (bytes32) {
        return STEP_VERIFIER.transition(before, proof);
    }
}

/// @dev What a dispute over 2^40 steps costs both sides together, as transactions: run with
/// `--isolate`. `npm run gas` keeps the figures in gas/snapshot.json.
contract GameGasTest is GameTest {
    uint256 private constant GAME_MAX = 1_200_000;
    uint256 private constant SECTIONS_MAX = 10;
    /// Limits of the market and of images: `verifier/src/limits.rs`.
    uint32 private constant JOB_TASKS_MAX = 1 << 20;
    uint32 private constant DEAL_TASKS_MAX = 2048;
    uint32 private constant PAGES_MAX = 65_536;
    uint256 private constant MEMORIES_MAX = 16;

    string private figures;
    TraceWithStep private trace;
    bytes private proof;
    uint256 private sections;
    uint256 private sectionMost;
    uint256 private lastStep;
    uint256 private challengers;
    uint256 private providers;

    function artifact() internal pure override returns (string memory) {
        return "artifacts/Market.json";
    }

    function gameArtifact() internal pure override returns (string memory) {
        return "artifacts/Game.json";
    }

    function gameParameters() internal view override returns (GameParameters memory p) {
        p = super.gameParameters();
        p.stepVerifier = p.initialState = address(trace);
    }

    function setUp() public override {
        bytes32 before;
        (before, proof) = new DearestStep().step();
        trace = new TraceWithStep(
            IStepVerifier(_created("artifacts/StepVerifier.json")),
            IInitialState(_created("artifacts/InitialState.json")),
            before,
            proof
        );
        super.setUp();
    }

    function _created(string memory name) private returns (address deployed) {
        bytes memory creation = vm.getCode(name);
        assembly ("memory-safe") {
            deployed := create(0, add(creation, 0x20), mload(creation))
        }
    }

    // ---------------------------------------------------------------- a job of 2^30 cycles

    function _cycleLimit() internal pure override returns (uint64) {
        return (1 << 30) - 1;
    }

    function _cycles() internal pure override returns (uint256) {
        return 1e9;
    }

    /// @dev The user's and the library's.
    function _memories() private pure returns (Memory[] memory memories) {
        memories = new Memory[](2);
        for (uint256 i = 0; i < 2; ++i) {
            memories[i] = Memory(keccak256(abi.encode("memory", i)), 300 << 224 | 1000 << 192 | uint256(18) << 184);
        }
    }

    /// @dev As many as an image may have, each of which grows from nothing to all that there is.
    function _mostMemories() private pure returns (Memory[] memory memories) {
        memories = new Memory[](MEMORIES_MAX);
        for (uint256 i = 0; i < MEMORIES_MAX; ++i) {
            memories[i] = Memory(keccak256(abi.encode("memory", i)), uint256(PAGES_MAX) << 192);
        }
    }

    function _image(Memory[] memory m) private pure returns (Image memory) {
        bytes memory words;
        for (uint256 i = 0; i < m.length; ++i) {
            words = bytes.concat(words, m[i].root, bytes32(m[i].shape));
        }
        return Image({
            shape: uint256(0x1234) << 224 | 40 << 208 | 0x13050002 << 176 | m.length << 184 | 13 << 168,
            code: keccak256("code"),
            globals: keccak256("globals"),
            tables: keccak256("tables"),
            segments: keccak256("segments"),
            memories: keccak256(words)
        });
    }

    function _imageRoot() internal pure override returns (bytes32) {
        return keccak256(abi.encode(States.IMAGE_DOMAIN, _image(_memories())));
    }

    /// @dev A job of two tasks, or the largest one.
    function _job(uint32 tasks) internal pure override returns (JobSpec memory job) {
        job = super._job(tasks == JOB_TASKS_MAX ? 1 : tasks);
        if (tasks != JOB_TASKS_MAX) return job;
        (job.taskCount, job.pageLimit, job.slotLimit, job.outputLimit) = (tasks, PAGES_MAX, 1 << 20, 1 << 36);
        job.imageRoot = keccak256(abi.encode(States.IMAGE_DOMAIN, _image(_mostMemories())));
        bytes32 root = _leaf(0);
        for (uint256 level = 0; level < 20; ++level) {
            root = keccak256(abi.encode(root, _sibling(level)));
        }
        job.inputsRoot = root;
    }

    function _sibling(uint256 level) private pure returns (bytes32) {
        return keccak256(abi.encode("sibling", level));
    }

    function _challengeCall(Deal memory deal, Claim memory made, uint32 task, bytes32 halted)
        internal
        view
        override
        returns (ChallengeCall memory call)
    {
        call = super._challengeCall(deal, made, task, halted);
        (call.image, call.memories) = (_image(_memories()), _memories());
    }

    // ---------------------------------------------------------------- the game

    function _proof(List memory, uint256, uint256) internal view override returns (bytes memory) {
        return proof;
    }

    function _state(Belief memory belief, uint256 step) internal view override returns (bytes32) {
        return step <= belief.until ? trace.state(0, step) : keccak256(abi.encode("a lie", belief.halted, step));
    }

    function _spent(bytes memory data, bool byChallenger) internal override {
        uint256 cost = _transaction(data);
        if (bytes4(data) == IGame.section.selector) {
            ++sections;
            if (cost > sectionMost) sectionMost = cost;
        } else {
            lastStep = cost;
            _figure("dispute: last step, the dearest there is", cost);
        }
        _add(cost, byChallenger);
    }

    function _add(uint256 cost, bool byChallenger) private {
        if (byChallenger) challengers += cost;
        else providers += cost;
    }

    /// @dev The first game of the deployment: nobody's words have been written before.
    function test_gas_of_a_dispute() public {
        Deal memory deal = _open(2);
        Claim memory made = _claim(deal);
        // A verdict forgets the buyer's demand.
        LeafIndex[] memory leaves = new LeafIndex[](1);
        vm.prank(buyer);
        market.demandOutput(deal, made, _job(2), leaves);
        bytes memory data;
        // The provider leaves the truth just where the real step is, and the challenger shows it.
        Belief memory truth = Belief(0, TRUE, trace.HALTED());
        Belief memory lie = Belief(0, trace.STEP(), _halted(deal, 0));
        ChallengeCall memory call = _challengeCall(deal, made, 0, truth.halted);
        GameKey memory key = GameKey(_claimHash(deal, made), 0, CHALLENGER, 0);
        vm.prank(CHALLENGER);
        game.challenge(call);
        data = abi.encodeCall(game.challenge, (call));
        uint256 cost = _transaction(data);
        _figure("dispute: challenge", cost);
        _add(cost, true);
        List memory list = _claimed(lie, lie.halted);
        assertTrue(_play(key, list, truth, lie), "the challenger wins");
        assertEq(sections, SECTIONS_MAX, "sections");
        assertAtMost(sectionMost, SECTION_GAS, "the schedule covers a section");
        _figure("dispute: section, at most", sectionMost);

        // The verdict, and the payout of the only game.
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(game.settle, (deal, made));
        calls[1] = abi.encodeCall(game.collect, (key));
        vm.prank(CHALLENGER);
        game.multicall(calls);
        cost = _transaction(abi.encodeCall(game.multicall, (calls)));
        assertAtMost(lastStep + cost, FINISH_GAS, "the schedule covers the last step, the verdict and the payout");
        _figure("dispute: verdict and payout", cost);
        _add(cost, true);
        _figure("dispute over 2^40 steps: all of the challenger's", challengers);
        _figure("dispute over 2^40 steps: all of the provider's", providers);
        _figure("dispute over 2^40 steps: both together", challengers + providers);
        assertAtMost(challengers + providers, GAME_MAX, "gas of a dispute over 2^40 steps");
        vm.writeFile("gas/measured-disputes.json", string.concat("{", figures, "\n}\n"));
    }

    /// @dev The largest deal of the largest job with the largest image, and nobody's words written before.
    function test_the_schedule_covers_the_dearest_challenge() public {
        Bid memory bid = _bid(JOB_TASKS_MAX);
        Offer memory offer = _offer();
        // Of 10^9 cycles a second, for all tasks.
        (bid.executionTimeout, bid.cyclesExpected) = (1 << 20, 1e9);
        (bid.salt, offer.salt) = (uint256(keccak256("bid")), uint256(keccak256("offer")));
        Deal memory deal = _open(_call(bid, offer, DEAL_TASKS_MAX));
        Claim memory made;
        bytes32[] memory path;
        {
            bytes memory tasks = new bytes(DEAL_TASKS_MAX * 38);
            bytes32[] memory halted = new bytes32[](DEAL_TASKS_MAX);
            for (uint256 i = 0; i < DEAL_TASKS_MAX; ++i) {
                bytes32 inner = _inner(i);
                halted[i] = Hashing.halted(deal.jobHash, i, 1e9, inner);
                uint256 cycles = 1e9;
                assembly ("memory-safe") {
                    let at := add(add(tasks, 0x20), mul(i, 38))
                    mstore(at, or(shl(208, cycles), shr(48, inner)))
                    mstore(add(at, 6), inner)
                }
            }
            vm.prank(provider);
            made = market.claim(deal, tasks);
            path = _pathOfFirst(halted);
        }
        ChallengeCall memory call;
        call.deal = deal;
        call.claim = made;
        call.job = _job(JOB_TASKS_MAX);
        call.claimed = ClaimedTask(0, 1e9, _inner(0), path);
        call.input = InputOpening(keccak256(abi.encode("blake3", uint256(0))), 1000, keccak256(abi.encode("archive", uint256(0))), new bytes32[](20));
        for (uint256 level = 0; level < 20; ++level) {
            call.input.path[level] = _sibling(level);
        }
        (call.image, call.memories) = (_image(_mostMemories()), _mostMemories());
        (call.halted, call.bondMax) = (trace.HALTED(), type(uint256).max);
        vm.prank(CHALLENGER);
        game.challenge(call);
        assertAtMost(_transaction(abi.encodeCall(game.challenge, (call))), CHALLENGE_GAS, "the schedule covers a challenge");
    }

    function _pathOfFirst(bytes32[] memory hashes) private pure returns (bytes32[] memory path) {
        uint256 length = hashes.length;
        path = new bytes32[](11);
        for (uint256 level = 0; length > 1; ++level) {
            path[level] = hashes[1];
            length /= 2;
            for (uint256 i = 0; i < length; ++i) {
                hashes[i] = keccak256(abi.encode(hashes[2 * i], hashes[2 * i + 1]));
            }
        }
    }

    /// @dev With all seats taken: who comes is written into the list of those that wait, and the first
    /// move of the provider gives its game a seat.
    function test_the_schedule_covers_a_game_that_waits() public {
        Deal memory deal = _open(2);
        Claim memory made = _claim(deal);
        Belief memory truth = Belief(0, TRUE, trace.HALTED());
        Belief memory lie = Belief(0, trace.STEP(), _halted(deal, 0));
        for (uint160 i = 0; i < 32; ++i) {
            _grant(address(0xd000 + i));
            _challenge(deal, made, truth, address(0xd000 + i));
        }
        ChallengeCall memory call = _challengeCall(deal, made, 0, truth.halted);
        vm.prank(CHALLENGER);
        game.challenge(call);
        assertAtMost(_transaction(abi.encodeCall(game.challenge, (call))), CHALLENGE_GAS, "a challenge");
        GameKey memory key = GameKey(_claimHash(deal, made), 0, CHALLENGER, 0);
        assertTrue(!game.standing(key).seated, "waits");
        _play(key, _claimed(lie, lie.halted), truth, lie);
        assertAtMost(sectionMost, SECTION_GAS, "a section");
    }

    /// @dev What the last transaction cost its sender, calldata's floor price included.
    function _transaction(bytes memory data) private returns (uint256 cost) {
        cost = vm.lastCallGas().gasTotalUsed;
        uint256 tokens;
        for (uint256 i = 0; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        // EIP-7623.
        if (cost < 21_000 + 10 * tokens) cost = 21_000 + 10 * tokens;
    }

    function _figure(string memory what, uint256 gas_) private {
        figures = string.concat(figures, bytes(figures).length == 0 ? "" : ",", "\n  \"", what, "\": ", vm.toString(gas_));
    }
}
