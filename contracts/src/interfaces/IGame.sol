// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ChallengeCall, GameKey, GameParameters, Part, Standing} from "../types/Disputes.sol";
import {Claim, Deal} from "../types/Orders.sol";

/// @title The dispute game: a false result loses money
/// @notice Anybody may challenge one task of a claim in its challenge window, with a bond. Provider
/// and challenger agree on the state in which the task starts and on nothing after the point where
/// they part; the game finds that point.
///
/// A trace is a list of 16^n + 1 state hashes, the last ones repeating the halted state; n, the
/// number of sections, follows from the job's cycle limit (`sectionsOf`). A **part** is a stretch of
/// the trace of 16^level steps, with the states at both of its ends. The party that does not move
/// has asserted a list of 16 parts that follow one another; the mover names the first of them with
/// whose end it disagrees and asserts 16 parts of it (`section`). After n sections a part is one
/// step, and the mover shows what the step really leads to (`prove`). The challenger moves first;
/// the provider's first list is its claim, sixteen times.
///
/// Each party has one clock for the whole game. Games are independent of each other: N challengers
/// play N games, and one game that is won makes the claim fall. Of a provider's games 32 have a **seat**;
/// in the others its clock stands still for four clocks at most, or until it moves.
///
/// No move moves money. Bonds lie in the market's ledger; `settle` gives the market the verdict on a
/// claim, `collect` pays out one game, and `withdraw` of the market pays.
interface IGame {
    /// @param asserted the provider's halted state, `halted` the challenger's, `initial` the first
    /// state of the trace
    event Challenged(
        bytes32 indexed game,
        bytes32 indexed dealId,
        address indexed provider,
        GameKey key,
        bytes32 initial,
        bytes32 asserted,
        bytes32 halted,
        uint8 sections,
        uint32 clock,
        uint128 bond,
        bool seated
    );
    /// @param part which of the opponent's parts the mover disputes
    /// @param ends state hashes at the ends of the mover's 16 parts of it
    event Sectioned(bytes32 indexed game, uint8 part, bytes32[16] ends);
    /// A game that waited got a seat from `seat`. One in which the provider moves has a seat besides.
    event Seated(bytes32 indexed game);
    /// @param byTimeout the loser's clock ran out; otherwise the winner proved a step
    event Ended(bytes32 indexed game, bytes32 indexed claimHash, bool challengerWon, bool byTimeout);
    /// The market has the verdict.
    /// @param winner the challenger that is rewarded; zero if the claim stands
    /// @param reward base units of the deal's token
    /// @param gasPrice wei per gas at which the other challengers are refunded out of what the winner's
    /// gas leaves at the highest price that refunds pay; the winner gets the rest
    event Settled(bytes32 indexed claimHash, bool stands, address winner, uint128 reward, uint256 gasPrice);
    /// A game's bond has been paid out, together with the gas that a challenger of a fallen claim is owed
    /// unless it is the winner, whose gas `settle` pays.
    event Collected(bytes32 indexed game, uint256 toChallenger, uint256 toProvider, uint256 burned);

    error ParameterOutOfRange();
    /// The game's key was used before.
    error AlreadyChallenged();
    /// The deal's job is another one.
    error JobMismatch();
    /// The input opening does not lead to the job's inputs.
    error InputInvalid();
    /// The challenger asserts what the provider claims.
    error NothingDisputed();
    /// The bond is larger than the challenger is willing to lock.
    error BondTooLarge();
    error GameNotRunning();
    /// It is the other party's turn, or the sender is no party.
    error NotYourTurn();
    /// The mover's clock has run out.
    error ClockRunOut();
    /// The mover's clock has not run out.
    error ClockNotRunOut();
    /// The part is not one that the opponent asserted in its last move, or is meant for another level.
    error PartMismatch();
    /// The last end that the mover asserts is what the opponent asserts.
    error EndNotDisputed();
    /// All sections are made: prove the step.
    error SectionsDone();
    /// The parts are longer than a step: section on.
    error SectionsLeft();
    /// The step leads to just the state that the opponent asserts.
    error StepAgrees();
    /// Another game has shown that the claim is false.
    error ClaimFell();
    /// Games about the claim are still running, and none has been won.
    error GamesRunning();
    /// There is no game about this claim whose verdict is still to be settled.
    error NothingToSettle();
    /// The game has not ended, or its claim's verdict has not been settled, or it was collected.
    error NothingToCollect();

    /// @notice Challenges one task of a claim. The bond comes out of the sender's coins on the market.
    function challenge(ChallengeCall calldata call) external returns (bytes32 game);
    /// @notice Brings a game about the state at an auditor's point: between the sender, who audits this
    /// claim, and the provider, whose answer differs from what the sender revealed. `call.claimed` names
    /// the task and nothing else, `call.halted` is not read.
    function challengeAnswer(ChallengeCall calldata call) external returns (bytes32 game);
    /// @notice Disputes one of the opponent's parts and asserts 16 parts of it.
    function section(GameKey calldata key, Part calldata part, bytes32[16] calldata ends) external;
    /// @notice Shows that a part of one step does not lead where the opponent asserts: wins the game.
    function prove(GameKey calldata key, Part calldata part, bytes calldata proof) external;
    /// @notice Ends a game whose mover's clock has run out. Anybody may call it.
    function timeout(GameKey calldata key) external;
    /// @notice Gives the market the verdict on a claim: it falls if a game about it was won, it stands
    /// when all have ended and none was. Anybody may call it.
    function settle(Deal calldata deal, Claim calldata claim) external;
    /// @notice Pays out a game that has ended, or any game about a fallen claim. Anybody may call it.
    function collect(GameKey calldata key) external;
    /// @notice Gives free seats to a provider's games that wait for one, the first come first; looks at
    /// 64 at most. Anybody may call it, and whoever waits should: no other call does it.
    function seat(address provider) external;
    /// @notice Several calls in one transaction.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    function standing(GameKey calldata key) external view returns (Standing memory);
    /// @notice The challenger by whose game a claim fell, zero as long as it stands, and what that game
    /// was about, as in its key. It shows that the provider asserted something false or fell silent, which
    /// need not be what it had claimed.
    function verdictOf(bytes32 claimHash) external view returns (address winner, uint32 task, uint64 until);
    /// @notice What a challenge of this provider locks now, in wei.
    function bondFor(address provider, uint64 cycleLimit) external view returns (uint256);
    /// @notice Sections of a trace of this many cycles.
    function sectionsOf(uint64 cycleLimit) external pure returns (uint256);
    /// @notice Seconds on each party's clock.
    function clockOf(uint64 cycleLimit) external view returns (uint256);
    function gameId(GameKey calldata key) external pure returns (bytes32);
    function parameters() external view returns (GameParameters memory);
}
