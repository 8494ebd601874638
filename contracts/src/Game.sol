// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IDeals} from "./interfaces/IDeals.sol";
import {IDeployment} from "./interfaces/IDeployment.sol";
import {IDemands} from "./interfaces/IDemands.sol";
import {IGame} from "./interfaces/IGame.sol";
import {Bisection} from "./game/Bisection.sol";
import {GameWord, GameWords} from "./game/GameWord.sol";
import {Terms} from "./game/Terms.sol";
import {Hashing} from "./market/Hashing.sol";
import {BURN} from "./market/Ledger.sol";
import {Merkle} from "./market/Merkle.sol";
import {Openings} from "./market/Openings.sol";
import {Payout} from "./types/Calls.sol";
import {ChallengeCall, GameKey, GameParameters, GameStatus, Part, Standing} from "./types/Disputes.sol";
import {Claim, Deal, JobSpec} from "./types/Orders.sol";

/// @title The dispute game
/// @dev Calls nobody but the market, the step verifier and the contract that knows initial states,
/// all fixed at the deployment. Holds no money: bonds are the market's coins under this contract's
/// name. Invariant: these are the uncollected bonds and the undistributed pots of fallen claims.
contract Game is Terms {
    /// @dev All games about one claim.
    struct Dispute {
        /// The challenger that won first; zero as long as the claim stands.
        address winner;
        /// Games that the provider has not won and nobody has collected.
        uint32 live;
        /// Gas that the challengers of those games have used, by the schedule; without the winner's.
        uint64 owedGas;
        /// Wei for that gas, once the claim has fallen and the market has paid.
        uint128 pot;
        /// Gas that the winner has used, by the schedule.
        uint32 winnerGas;
        /// What the game that the winner won was about, as in its key.
        uint32 task;
        uint48 until;
        /// Games ended since the market last heard a verdict.
        bool unsettled;
    }

    mapping(bytes32 claimHash => Dispute) private _disputes;

    constructor(GameParameters memory p) Terms(p) {}

    // ---------------------------------------------------------------- moves

    /// @inheritdoc IGame
    function challenge(ChallengeCall calldata call) external returns (bytes32) {
        uint32 task = call.claimed.task;
        bytes32 asserted = Hashing.halted(call.deal.jobHash, task, call.claimed.cycles, call.claimed.inner);
        if (
            !Openings.leads(
                asserted, task, call.claimed.path, call.deal.firstTask, call.deal.taskCount, call.claim.resultRoot
            )
        ) revert IDemands.OpeningInvalid();
        (bytes32 dealId, bytes32 claimHash, uint256 bond) = _lockBond(call);
        return _begin(call, dealId, GameKey(claimHash, task, msg.sender, 0), asserted, call.halted, bond);
    }

    /// @inheritdoc IGame
    function challengeAnswer(ChallengeCall calldata call) external returns (bytes32) {
        (bytes32 dealId, bytes32 claimHash, uint256 bond) = _lockBond(call);
        (uint32 task, uint64 point, bytes32 asserted, bytes32 own) = AUDITS.contested(claimHash, msg.sender);
        if (task != call.claimed.task) revert IDemands.OpeningInvalid();
        return _begin(call, dealId, GameKey(claimHash, task, msg.sender, point), asserted, own, bond);
    }

    /// @inheritdoc IGame
    function section(GameKey calldata key, Part calldata part, bytes32[16] calldata ends) external {
        (bytes32 id, Game storage game, GameWord word) = _toMove(key, part);
        if (word.sectionsLeft() == 0) revert SectionsDone();
        if (ends[15] == part.end) revert EndNotDisputed();
        game.root = Bisection.root(part.before, ends);
        game.word = word.moved(block.timestamp);
        emit Sectioned(id, part.index, ends);
        if (word.challengersTurn()) _disputes[key.claimHash].owedGas += uint64(SECTION_GAS);
        else if (!word.seated()) _seatBeyond(word.provider());
    }

    /// @inheritdoc IGame
    function prove(GameKey calldata key, Part calldata part, bytes calldata proof) external {
        (bytes32 id, Game storage game, GameWord word) = _toMove(key, part);
        if (word.sectionsLeft() != 0) revert SectionsLeft();
        bytes32 after_ = key.until == 0
            ? STEP_VERIFIER.transition(part.before, proof)
            : STEP_VERIFIER.transitionUntil(part.before, proof, key.until);
        if (after_ == part.end) revert StepAgrees();
        _end(key, id, game, word, word.challengersTurn(), false);
    }

    /// @inheritdoc IGame
    function timeout(GameKey calldata key) external {
        (bytes32 id, Game storage game, GameWord word) = _running(key);
        if (!word.overdue(block.timestamp)) revert ClockNotRunOut();
        _end(key, id, game, word, !word.challengersTurn(), true);
    }

    // ---------------------------------------------------------------- verdicts

    /// @inheritdoc IGame
    function settle(Deal calldata deal, Claim calldata claim) external {
        bytes32 claimHash = Hashing.claim(IDeals(address(MARKET)).hashDeal(deal), claim);
        Dispute storage dispute = _disputes[claimHash];
        if (!dispute.unsettled) revert NothingToSettle();
        address winner = dispute.winner;
        if (winner == address(0)) {
            if (dispute.live != 0) revert GamesRunning();
            dispute.unsettled = false;
            MARKET.resolveChallenge(deal, claim, true, new Payout[](0));
            emit Settled(claimHash, true, address(0), 0, 0);
            return;
        }
        // Gas comes before the reward in coins: the winner's first, so that no number of games that
        // somebody opens beside it leaves it with less than it spent. And at the highest price, because
        // whoever settles chooses the block, and the winner may have paid more than this one's price.
        uint256 coins = IDeployment(address(MARKET)).parameters().collateralFloor / 2;
        uint256 gasPrice = _gasPrice();
        uint256 reserved = dispute.winnerGas * GAS_PRICE_CAP;
        uint256 pot = reserved < coins ? coins - reserved : 0;
        if (pot > dispute.owedGas * gasPrice) pot = dispute.owedGas * gasPrice;
        uint128 reward = deal.collateral / 2;
        dispute.unsettled = false;
        dispute.pot = uint128(pot);
        Payout[] memory payouts = new Payout[](2);
        payouts[0] = Payout(winner, reward, uint128(coins - pot));
        payouts[1] = Payout(address(this), 0, uint128(pot));
        MARKET.resolveChallenge(deal, claim, false, payouts);
        emit Settled(claimHash, false, winner, reward, gasPrice);
    }

    /// @inheritdoc IGame
    function collect(GameKey calldata key) external {
        bytes32 id = gameId(key);
        Game storage game = _games[id];
        GameWord word = game.word;
        uint256 bond = game.bond;
        if (bond == 0) revert NothingToCollect();
        uint256 made = game.sections - word.sectionsLeft();
        uint256 toChallenger;
        uint256 toProvider;
        if (word.status() == GameStatus.Refused) {
            // Half of the bond at most (see _bond): at least half burns, so that nobody profits from
            // challenging himself. The price of gas is this block's: a provider ends its game and
            // collects in one transaction, and whoever comes first with a timeout moves coins between
            // the provider and the burn alone. At the highest price colluders would burn no more than
            // that half.
            toProvider = _gasOfProvider(made) * _gasPrice();
            // Before its first section a challenger has given nobody anything to run.
            if (made != 0) toProvider += game.runFee;
        } else {
            Dispute storage dispute = _disputes[key.claimHash];
            if (dispute.winner == address(0) || dispute.unsettled) revert NothingToCollect();
            toChallenger = bond;
            --dispute.live;
            // The market has paid the winner's gas together with its reward.
            if (word.status() == GameStatus.Running) {
                game.word = word.ended(GameStatus.Won);
                _leave(word.provider(), word.seated());
                // Of what is left those who are left get their part, so that nothing stays behind.
                uint256 owed = _gasOfChallenger(made);
                uint256 share = dispute.pot * owed / dispute.owedGas;
                dispute.pot -= uint128(share);
                dispute.owedGas -= uint64(owed);
                toChallenger += share;
            }
        }
        game.bond = 0;
        uint256 burned = word.status() == GameStatus.Refused ? bond - toProvider : 0;
        if (toChallenger != 0) MARKET.release(address(0), key.challenger, toChallenger);
        if (toProvider != 0) MARKET.release(address(0), word.provider(), toProvider);
        if (burned != 0) MARKET.release(address(0), BURN, burned);
        emit Collected(id, toChallenger, toProvider, burned);
    }

    /// @inheritdoc IGame
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            results[i] = Address.functionDelegateCall(address(this), calls[i]);
        }
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IGame
    function standing(GameKey calldata key) external view returns (Standing memory) {
        Game storage game = _games[gameId(key)];
        GameWord word = game.word;
        uint256 elapsed = word.elapsed(block.timestamp);
        bool challengersTurn = word.challengersTurn();
        return Standing({
            status: word.status(),
            provider: word.provider(),
            root: game.root,
            challengersTurn: challengersTurn,
            seated: word.seated(),
            sectionsLeft: uint8(word.sectionsLeft()),
            challengerLeft: uint32(_left(word.challengerLeft(), challengersTurn ? elapsed : 0)),
            providerLeft: uint32(_left(word.providerLeft(), challengersTurn ? 0 : elapsed)),
            overdue: word.overdue(block.timestamp),
            claimFell: _disputes[key.claimHash].winner != address(0),
            bond: game.bond
        });
    }

    /// @inheritdoc IGame
    function verdictOf(bytes32 claimHash) external view returns (address winner, uint32 task, uint64 until) {
        Dispute storage dispute = _disputes[claimHash];
        return (dispute.winner, dispute.task, dispute.until);
    }

    /// @inheritdoc IGame
    function gameId(GameKey memory key) public pure returns (bytes32) {
        return keccak256(abi.encode(key));
    }

    // ---------------------------------------------------------------- inside

    /// @dev The game, if it runs and its claim has not fallen.
    function _running(GameKey calldata key) private view returns (bytes32 id, Game storage game, GameWord word) {
        id = gameId(key);
        game = _games[id];
        word = game.word;
        if (word.status() != GameStatus.Running) revert GameNotRunning();
        if (_disputes[key.claimHash].winner != address(0)) revert ClaimFell();
    }

    /// @dev The game, if it is the sender's turn, in time, and the opponent asserted this part.
    function _toMove(GameKey calldata key, Part calldata part)
        private
        view
        returns (bytes32 id, Game storage game, GameWord word)
    {
        (id, game, word) = _running(key);
        if (msg.sender != (word.challengersTurn() ? key.challenger : word.provider())) revert NotYourTurn();
        if (word.overdue(block.timestamp)) revert ClockRunOut();
        if (
            part.level != word.sectionsLeft() || part.index >= Bisection.PARTS || Bisection.rootOf(part) != game.root
        ) revert PartMismatch();
    }

    function _end(GameKey calldata key, bytes32 id, Game storage game, GameWord word, bool challengerWon, bool byTimeout)
        private
    {
        Dispute storage dispute = _disputes[key.claimHash];
        game.word = word.ended(challengerWon ? GameStatus.Won : GameStatus.Refused);
        dispute.unsettled = true;
        uint256 owed = _gasOfChallenger(game.sections - word.sectionsLeft());
        dispute.owedGas -= uint64(owed);
        if (challengerWon) {
            dispute.winner = key.challenger;
            dispute.winnerGas = uint32(owed + FINISH_GAS);
            dispute.task = key.task;
            // At most the claimed cycles, which have 48 bits.
            dispute.until = uint48(key.until);
        } else {
            --dispute.live;
        }
        _leave(word.provider(), word.seated());
        emit Ended(id, key.claimHash, challengerWon, byTimeout);
    }

    /// @dev Checks the job, and takes the challenger's bond.
    function _lockBond(ChallengeCall calldata call)
        private
        returns (bytes32 dealId, bytes32 claimHash, uint256 bond)
    {
        if (Hashing.job(call.job) != call.deal.jobHash) revert JobMismatch();
        bond = _bond(call.deal.provider, call.job.cycleLimit);
        if (bond > call.bondMax) revert BondTooLarge();
        (dealId, claimHash) = MARKET.openChallenge(call.deal, call.claim, msg.sender, bond);
    }

    /// @param own what the challenger asserts in place of `asserted`
    function _begin(
        ChallengeCall calldata call,
        bytes32 dealId,
        GameKey memory key,
        bytes32 asserted,
        bytes32 own,
        uint256 bond
    ) private returns (bytes32 game) {
        if (own == asserted) revert NothingDisputed();
        Dispute storage dispute = _disputes[key.claimHash];
        if (dispute.winner != address(0)) revert ClaimFell();
        game = gameId(key);
        if (_games[game].word.status() != GameStatus.None) revert AlreadyChallenged();
        bytes32 initial = _initialState(call);
        uint256 cycleLimit = call.job.cycleLimit;
        uint256 sections = Bisection.sections(cycleLimit);
        uint256 clock = _clock(cycleLimit);
        _games[game] = Game({
            root: Bisection.rootOfClaim(initial, asserted),
            word: GameWords.begun(call.deal.provider, clock, sections, block.timestamp),
            bond: uint128(bond),
            // Below the bond, and paid for by coins that exist.
            runFee: uint112(_runFee(cycleLimit)),
            sections: uint8(sections)
        });
        bool seated = _enter(call.deal.provider, game);
        ++dispute.live;
        dispute.owedGas += uint64(_gasOfChallenger(0));
        emit Challenged(
            game,
            dealId,
            call.deal.provider,
            key,
            initial,
            asserted,
            own,
            uint8(sections),
            uint32(clock),
            uint128(bond),
            seated
        );
    }

    /// @dev What the challenged task starts with; reverts unless everything that it follows from is
    /// the job's.
    function _initialState(ChallengeCall calldata call) private view returns (bytes32) {
        uint32 task = call.claimed.task;
        bytes32 leaf = keccak256(
            abi.encode(
                uint256(task),
                call.input.blake3,
                Hashing.input(call.input.length, call.input.archive),
                uint256(call.input.length)
            )
        );
        if (
            call.input.path.length != Merkle.depth(call.job.taskCount)
                || Merkle.rootOf(leaf, task, call.input.path) != call.job.inputsRoot
        ) revert InputInvalid();
        return INITIAL_STATE.initialState(
            call.image, call.memories, call.job, task, call.input.length, call.input.archive
        );
    }

    function _left(uint256 clock, uint256 elapsed) private pure returns (uint256) {
        return clock > elapsed ? clock - elapsed : 0;
    }
}
