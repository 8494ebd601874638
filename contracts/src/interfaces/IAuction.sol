// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AuctionOrder,
    AuctionParameters,
    DrawRecord,
    FillGroup,
    GroupProof,
    Obligation,
    Phase,
    Pool,
    ResultRecord,
    RoundRecord,
    StreamRecord
} from "../types/Auctions.sol";
import {Bid, Claim, Deal, JobSpec} from "../types/Orders.sol";

/// @title Auction: reserved capacity at uniform prices
/// @notice Rounds follow each other without gaps. In a round accounts commit to orders with a deposit,
/// then reveal them; anybody with a bond posts how the round is cleared; anybody may disprove a posted
/// result with one of its groups, or post one of more welfare. What stands at the end of the round is
/// final: buyers pay p.q out of their deposits into the round's escrow, sellers earn it interval by
/// interval, holders draw jobs at no further price, and may sell what they hold in the next round.
///
/// A result says prices, and which lots of which orders are accepted. It is valid if every accepted lot
/// is one of its order's, nobody pays more or gets less than its limit (of a curve: than the ask of the
/// last unit used), and in every pool as many units are sold as bought, or more where the price is 0.
/// Since prices are linear, payments then add up to zero.
///
/// All of it lies in calldata and in events: orders when they are revealed, results when they are
/// posted. The contract computes the Merkle root over a result's groups itself, so that nobody can post
/// a tree that others can not see into. A group holds up to 16 fills and the sums over all fills up to
/// its last one: who shows it and the group before it, with the orders that it names, has shown all
/// that can be wrong with it.
///
/// Money is in one token, in a ledger of the auction's own: `deposit`, `withdraw`. Nothing else calls
/// out, but for questions to the market. What burns is credited to an account that nobody has the key
/// of.
interface IAuction {
    event Deposited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event Committed(uint64 indexed round, address indexed account, bytes32 commitment, uint128 deposit);
    event Revealed(uint64 indexed round, uint16 indexed index, AuctionOrder order, bytes32 leaf, uint128 deposit);
    event Forfeited(uint64 indexed round, address indexed account, bytes32 commitment, uint128 deposit);
    event Posted(
        uint64 indexed round, uint32 indexed result, address indexed poster, uint64[] prices, FillGroup[] groups
    );
    event Disproved(uint64 indexed round, uint32 indexed result, address indexed by, uint128 reward);
    event Collected(uint64 indexed round, uint32 indexed result, uint128 bond);
    /// @param paid what the order pays (negative: earns), base units over all intervals
    event Settled(uint64 indexed round, uint16 indexed index, address indexed account, int256 paid);
    /// An order without fills got its deposit back.
    event Released(uint64 indexed round, uint16 indexed index, address indexed account, uint128 deposit);
    /// @param amount what the intervals that are over have earned, @param fee the part of it that was
    /// taken
    event Earned(uint64 indexed round, uint16 indexed index, address indexed account, uint128 amount, uint128 fee);
    event Reclaimed(uint64 indexed round, uint16 indexed index, address indexed account, uint128 deposit);
    event Refunded(uint64 indexed round, uint16 indexed index, address indexed account, uint128 amount);
    event Bound(
        uint64 indexed round, uint16 indexed index, address indexed holder, uint16 pool, address provider, uint64 units
    );
    event Drawn(
        bytes32 indexed draw,
        address indexed holder,
        address indexed provider,
        DrawRecord record,
        Bid bid,
        bytes signature,
        JobSpec job
    );
    /// @param answered tasks so far
    event Answered(bytes32 indexed draw, bytes32 dealId, uint32 answered);
    event GivenBack(bytes32 indexed draw, uint128 burnedEach);
    /// @param returned what the unit is worth, @param penalty as much again, as far as the deposit
    /// reached, @param fee taken of what the unit had not earned
    event Refused(bytes32 indexed draw, uint128 returned, uint128 penalty, uint128 fee);
    event Lapsed(bytes32 indexed draw, uint128 burnedEach);

    error ParameterOutOfRange();
    /// The round is not in the phase that this needs.
    error WrongPhase();
    error AmountZero();
    error AmountTooLarge();
    error BalanceInsufficient();
    /// The token moved another amount than it was told to.
    error TokenTakesFee();
    error AlreadyCommitted();
    error CommitmentUnknown();
    /// 512 accounts have committed.
    error RoundFull();
    /// The order breaks a bound of `types/Auctions.sol`.
    error OrderOutOfRange();
    error DepositTooSmall();
    /// The account does not hold, or has set aside or bound, what it sells or binds.
    error HoldingsInsufficient();
    /// Not the order that was revealed under this index, or not the orders of the round in this order.
    error OrderMismatch();
    /// Not the prices or groups of this result, or not the ones that are needed here.
    error ResultMismatch();
    /// A group without fills or with more than 16, or sums or prices that are not one for each pool, or
    /// a price out of range.
    error ResultMalformed();
    /// Of a pool more is bought than sold, or more is sold than bought though it has a price.
    error ResultUnbalanced();
    /// This very result stands already.
    error AlreadyPosted();
    /// The round has no such result, or it was disproved.
    error ResultUnknown();
    /// Nothing is wrong with the group.
    error ResultHolds();
    error AlreadyCollected();
    /// The order was settled or released.
    error AlreadySettled();
    error OrderFilled();
    error OrderNotFilled();
    /// No interval that is over has still to be paid out, or nothing is left of the deposit.
    error NothingEarned();
    error NothingToReclaim();
    /// Buyers of the round have to be settled first.
    error EscrowInsufficient();
    /// An order of the round is neither settled nor released, or has still to be paid out.
    error RoundOpen();
    /// The season of the order is not the running one, or, to reclaim, not over.
    error WrongSeason();
    /// The order has not sold so many units that are not bound.
    error UnitsInsufficient();
    /// All units that the sender has bound there are drawn, or there is none.
    error NothingToDraw();
    error DrawUnknown();
    /// Of the order a draw is open, or this bid was drawn from it before.
    error DrawOpen();
    /// The draw's deadline, or the time to refuse after it, is not over.
    error DrawEarly();
    /// The provider could not open a deal of this bid at all, or could not run it in time on a slot of
    /// the pool.
    error BidUnfit();
    /// The signature is not by the holder's own key.
    error SignatureInvalid();
    /// Not a deal of the draw, or it does not stand as is needed here.
    error DealMismatch();
    /// The bid or a deal of it was cancelled, or somebody opened a deal of it: this shows no failure of
    /// the provider's.
    error NotRefused();

    // --- the ledger

    function deposit(uint256 amount) external;
    function withdraw(uint256 amount) external;
    /// @notice What an account may spend or withdraw.
    function balanceOf(address account) external view returns (uint256);
    /// @notice Base units that all accounts have here, free and locked.
    function totalHeld() external view returns (uint256);
    /// @notice Several calls in one transaction.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    // --- orders

    /// @notice `commitment = keccak256(abi.encode(round, order))` with an order of the sender. A round
    /// takes 512 of them, first come, first served: whoever fills it locks 512 deposits, and loses them
    /// unless it reveals.
    function commit(uint64 round, bytes32 commitment, uint128 deposit_) external;
    /// @notice Anybody may send it. The deposit must reach `depositFor(order)`; what is sold from
    /// holdings is set aside.
    function reveal(uint64 round, AuctionOrder calldata order) external returns (uint16 index);
    /// @notice After the reveal phase: burns the deposit of what was not revealed.
    function forfeit(uint64 round, address account, bytes32 commitment) external;
    /// @notice What an order must deposit, at least `depositMin`: lots x the most that a lot can pay,
    /// and besides that lots x the most that a lot asks for or, if that is more, the `unitDeposit`s of the
    /// new capacity that it offers.
    function depositFor(AuctionOrder calldata order) external view returns (uint256);

    // --- results

    /// @notice In the post phase, with a bond from the sender's balance. `ordersHash` is that of the round's
    /// record: it names the orders that the fills do, also after a reorganisation. The sums of the last
    /// group must balance. A result is better than another if it claims more welfare, or as much with the
    /// same fills at less volume; it takes its place among those that stand, the best of which becomes
    /// final. Whoever sees it before it is included can post it first: then the poster's part of the fee
    /// is theirs.
    function post(uint64 round, bytes32 ordersHash, uint64[] calldata prices, FillGroup[] calldata groups)
        external
        returns (uint32 result);
    /// @notice Until the round ends. Recomputes one group from the group before it (absent for the
    /// first) and the orders that it names, each once, in order; if anything differs the result falls:
    /// half of the bond to the sender, the rest burns.
    function disprove(
        uint64 round,
        uint32 result,
        uint64[] calldata prices,
        GroupProof[] calldata before,
        GroupProof calldata group,
        AuctionOrder[] calldata orders
    ) external;
    /// @notice After the end: the bond of a result that stands, to its poster.
    function collect(uint64 round, uint32 result) external;

    // --- settlement, after the round's end. Anybody may send all of it.

    /// @notice An order with fills: its payment leaves the deposit, what it bought is held, what it
    /// sold is earned interval by interval. The rest of the deposit is free again, unless new capacity
    /// was sold.
    function settle(
        uint64 round,
        uint16 index,
        AuctionOrder calldata order,
        uint64[] calldata prices,
        GroupProof calldata group
    ) external;
    /// @notice An order without fills, shown by one group or two neighbouring ones between whose fills
    /// its index lies, or any order of a void round (without groups), or when the season is over any that
    /// nobody has settled: the deposit is free again, and holdings that were set aside.
    function release(uint64 round, uint16 index, AuctionOrder calldata order, GroupProof[] calldata around) external;
    /// @notice Pays out what an order has earned in the intervals that are over, less the fee, of which
    /// half goes to the poster of the result.
    function earn(uint64 round, uint16 index) external;
    /// @notice After the season and with no draw open: what is left of a provider's deposit.
    function reclaim(uint64 round, uint16 index) external;

    /// @notice After the season, and when all orders of the round are settled and paid out: what is left
    /// in escrow goes back to who paid it, in proportion. Something is left only if a false result became
    /// final. Takes what `settle` took.
    function refund(
        uint64 round,
        uint16 index,
        AuctionOrder calldata order,
        uint64[] calldata prices,
        GroupProof calldata group
    ) external;

    // --- delivery

    /// @notice The sender's units of a pool in the running season become slots of this provider's until
    /// the season ends. They can no longer be sold. Round and index name an order of the provider's
    /// that sold new capacity.
    function bind(uint64 round, uint16 index, uint16 pool, uint64 units) external;
    /// @notice The holder of bound units names a bid of its own that the provider must open a deal for
    /// and claim until now + drawS + the bid's queue and execution timeouts, which must lie in the
    /// season. At most as many draws are open as units are bound.
    ///
    /// The provider must be able to: the bid has no cap above 0, tip or audit, is signed by the
    /// holder's own key, not cancelled, queues for at least drawS, and asks for nothing that a slot of the
    /// pool does not have or could not do in time. The holder sets aside `drawFeeBps` of what the unit is
    /// worth from now on (`DrawRecord`), until the draw ends.
    function draw(
        uint64 round,
        uint16 index,
        uint16 pool,
        Bid calldata bid,
        bytes calldata signature,
        JobSpec calldata job
    ) external returns (bytes32 id);
    /// @notice Anybody shows a deal of the provider's while it holds a claim; if the bid was taken in
    /// parts, the deals in the order of their tasks. With the last task the draw ends. Drawn jobs are
    /// free, so that their deals have neither escrow nor collateral: of what the market holds, only the
    /// floor in coins stands behind their results.
    function answer(bytes32 id, Deal calldata deal, Claim calldata claim) external;
    /// @notice The provider cancelled its deal in the admission window (it is barred from the bid):
    /// both burn the fee.
    function giveBack(bytes32 id) external;
    /// @notice After the deadline, if the bid still has tasks of which nobody opened a deal, and was
    /// not cancelled. What the unit is worth goes back to the holder, out of what it has still to earn
    /// and then out of the order's deposit, with a penalty of as much out of the deposit, as far as that
    /// reaches without the unit deposits of the order's other units. What was still to be earned pays the
    /// fee. The unit is bound no more.
    function refuse(bytes32 id, Bid calldata bid) external;
    /// @notice The same, if after the deadline a deal of the provider's holds no claim or has failed,
    /// unless a deal of the bid was cancelled.
    function fail(bytes32 id, Deal calldata deal) external;
    /// @notice `drawS` after the deadline: nobody can be shown to be to blame, and both burn the fee, since
    /// either of them can have somebody else take the bid.
    function lapse(bytes32 id) external;

    // --- views

    function parameters() external view returns (AuctionParameters memory);
    function pools() external view returns (Pool[] memory);
    function phaseOf(uint64 round) external view returns (Phase);
    /// @notice The round, and interval, that is now; 0 before the start.
    function currentRound() external view returns (uint64);
    function roundOf(uint64 round) external view returns (RoundRecord memory);
    /// @notice The deposit of a commitment that was neither revealed nor forfeited.
    function committedOf(uint64 round, address account, bytes32 commitment) external view returns (uint128);
    /// @notice Leaf (keccak256(abi.encode(round, index, order))) and deposit of a revealed order, and
    /// whether it was settled or released.
    function orderOf(uint64 round, uint16 index) external view returns (bytes32 leaf, uint128 deposit_, bool settled);
    function resultOf(uint64 round, uint32 result) external view returns (ResultRecord memory);
    /// @notice Units that an account holds and has neither set aside for sale nor bound.
    function holdingOf(uint64 season, uint16 pool, address account) external view returns (uint64 units);
    function obligationOf(uint64 round, uint16 index, uint16 pool) external view returns (Obligation memory);
    /// @notice Units that a holder has bound to an order of a provider's, and how many of them are drawn.
    function boundOf(uint64 round, uint16 index, uint16 pool, address holder)
        external
        view
        returns (uint64 units, uint64 drawn);
    function streamOf(uint64 round, uint16 index) external view returns (StreamRecord memory);
    function drawOf(bytes32 id) external view returns (DrawRecord memory);
}
