// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGame} from "../../src/interfaces/IGame.sol";
import {IInitialState} from "../../src/interfaces/IInitialState.sol";
import {IStepVerifier} from "../../src/interfaces/IStepVerifier.sol";
import {States} from "../../src/machine/State.sol";
import {ChallengeCall, GameKey, GameParameters, Image, Memory} from "../../src/types/Disputes.sol";
import {Claim, Deal, JobSpec} from "../../src/types/Orders.sol";
import {BigWorld} from "../machine/BigWorld.sol";
import {Proof} from "../machine/StepTest.sol";
import {GameTest} from "./GameTest.sol";

/// @dev The dearest step of a large machine.
contract DearestStep is BigWorld {
    function step() external view returns (bytes32 before, bytes memory proof) {
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

    string private figures;
    TraceWithStep private trace;
    bytes private proof;
    uint256 private sections;
    uint256 private sectionMost;
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

    function _memories() private pure returns (Memory[] memory memories) {
        memories = new Memory[](2);
        for (uint256 i = 0; i < 2; ++i) {
            memories[i] = Memory(keccak256(abi.encode("memory", i)), 300 << 224 | 1000 << 192 | uint256(18) << 184);
        }
    }

    function _image() private pure returns (Image memory) {
        Memory[] memory m = _memories();
        return Image({
            shape: uint256(0x1234) << 224 | 40 << 208 | uint256(0x0013050202) << 176 | uint256(13) << 168,
            code: keccak256("code"),
            globals: keccak256("globals"),
            tables: keccak256("tables"),
            segments: keccak256("segments"),
            memories: keccak256(abi.encode(m[0].root, m[0].shape, m[1].root, m[1].shape))
        });
    }

    function _imageRoot() internal pure override returns (bytes32) {
        return keccak256(abi.encode(States.IMAGE_DOMAIN, _image()));
    }

    function _challengeCall(Deal memory deal, Claim memory made, uint32 task, bytes32 halted)
        internal
        view
        override
        returns (ChallengeCall memory call)
    {
        call = super._challengeCall(deal, made, task, halted);
        (call.image, call.memories) = (_image(), _memories());
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
        bytes memory data;
        // The provider leaves the truth just where the real step is, and the challenger shows it.
        Belief memory truth = Belief(0, TRUE, trace.HALTED());
        Belief memory lie = Belief(0, trace.STEP(), _halted(deal, 0));
        ChallengeCall memory call = _challengeCall(deal, made, 0, truth.halted);
        GameKey memory key = GameKey(_claimHash(deal, made), 0, CHALLENGER);
        vm.prank(CHALLENGER);
        game.challenge(call);
        data = abi.encodeCall(game.challenge, (call));
        uint256 cost = _transaction(data);
        _figure("dispute: challenge", cost);
        _add(cost, true);
        List memory list = _claimed(lie, lie.halted);
        assertTrue(_play(key, list, truth, lie), "the challenger wins");
        assertEq(sections, SECTIONS_MAX, "sections");
        _figure("dispute: section, at most", sectionMost);

        // The verdict, and the payout of the only game.
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(game.settle, (deal, made));
        calls[1] = abi.encodeCall(game.collect, (key));
        vm.prank(CHALLENGER);
        game.multicall(calls);
        cost = _transaction(abi.encodeCall(game.multicall, (calls)));
        _figure("dispute: verdict and payout", cost);
        _add(cost, true);
        _figure("dispute over 2^40 steps: all of the challenger's", challengers);
        _figure("dispute over 2^40 steps: all of the provider's", providers);
        _figure("dispute over 2^40 steps: both together", challengers + providers);
        assertAtMost(challengers + providers, GAME_MAX, "gas of a dispute over 2^40 steps");
        vm.writeFile("gas/measured-disputes.json", string.concat("{", figures, "\n}\n"));
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
