// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {
    AuctionOrder,
    AuctionParameters,
    DrawRecord,
    FillGroup,
    GroupProof,
    Phase,
    Pool,
    ResultRecord,
    RoundRecord,
    StreamRecord
} from "../types/Auctions.sol";
import {Deal, Claim} from "../types/Orders.sol";

/// @title Auction: reserved capacity at uniform prices
/// @notice Rounds follow each other without gaps. In a round accounts commit to orders with a deposit, then
/// reveal them; anybody with a bond posts how the round is cleared; anybody may disprove a posted result
/// with one of its leaves, or post one of more welfare. What stands at the end of the round is final: buyers pay
/// p.q out of their deposits into escrow, sellers earn it interval by interval, holders draw jobs at
/// no further price, and may sell what they hold in the next round.
///
/// A result says prices, and which lots of which orders are accepted. It is valid iff every accepted lot is
/// one of its order's, nobody pays more or gets less than its limit (asks of used steps of a curve
/// included), and in every pool as many units are sold as bought, or more where the price is 0. Since prices are linear, payments
/// then add up to zero.
///
/// All of it lies in calldata: orders when they are revealed, results when they are posted. The contract
/// computes the Merkle root over a result's leaves itself, so that nobody can post a tree that others can not
/// see into. A leaf holds up to 16 fills and the sums over all fills up to its last one: who shows it and the leaf
/// before it, with the orders that it names, has shown all that can be wrong with it.
///
/// Money is in one token, in a ledger of the auction's own: `deposit`, `withdraw`. Nothing else calls out.
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
    event BondReturned(uint64 indexed round, uint32 indexed result, uint256 bond, uint256 fees);
    /// @param paid what the order pays (negative: earns), base units over all intervals
    event Settled(uint64 indexed round, uint16 indexed index, address indexed account, int256 paid);
    event Released(uint64 indexed round, uint16 indexed index, address indexed account, uint128 deposit);
    event Earned(uint64 indexed round, uint16 indexed index, address indexed account, uint128 amount, uint128 fee);
    event Bound(
        uint64 indexed season, uint16 pool, address indexed holder, address indexed provider, uint32 units
    );
    event Drawn(
        bytes32 indexed draw, address indexed holder, address indexed provider, uint16 pool, bytes32 bidHash, uint64 deadline
    );
    event Answered(bytes32 indexed draw, bytes32 dealId);
    event GivenBack(bytes32 indexed draw, uint256 burnedEach);
    event Refused(bytes32 indexed draw, uint256 returned, uint256 penalty);

    error ParameterOutOfRange();
    error WrongPhase();
    error AmountZero();
    error BalanceInsufficient();
    error TokenTakesFee();
    error AlreadyCommitted();
    error CommitmentUnknown();
    error RoundFull();
    error OrderOutOfRange();
    error DepositTooSmall();
    error HoldingsInsufficient();
    error OrderMismatch();
    error GroupMismatch();
    error ResultMalformed();
    error ResultUnbalanced();
    error WelfareNotHigher();
    error ResultUnknown();
    error ResultDisproved();
    error ResultHolds();
    error AlreadySettled();
    error OrderFilled();
    error OrderNotFilled();
    error NothingEarned();
    error NotProvider();
    error NotBound();
    error UnitsInsufficient();
    error DrawUnknown();
    error DrawOpen();
    error DrawLate();
    error JobTooLarge();
    error DealMismatch();

    // --- the ledger

    function deposit(uint256 amount) external;
    function withdraw(uint256 amount) external;
    function balanceOf(address account) external view returns (uint256);
    /// @notice Base units that all accounts have here, free and locked.
    function totalHeld() external view returns (uint256);

    // --- orders

    /// @notice `commitment = keccak256(abi.encode(round, order))` with an order of the sender.
    function commit(uint64 round, bytes32 commitment, uint128 deposit_) external;
    /// @notice Anybody may send it. The deposit must reach `depositFor(order)`; what is sold from holdings is set aside.
    function reveal(uint64 round, AuctionOrder calldata order) external returns (uint16 index);
    /// @notice After the reveal phase: burns the deposit of what was not revealed.
    function forfeit(uint64 round, address account, bytes32 commitment) external;
    /// @notice What an order must deposit: the most that it can pay, lots x the largest limit; for new capacity
    /// at least as much as it asks for and lots x the pools' `unitDeposit`; at least `depositMin`.
    function depositFor(AuctionOrder calldata order) external view returns (uint256);

    // --- results

    /// @notice In the post phase, with a bond from the sender's balance. The sums of the last group must balance. Must claim
    /// more welfare than the best result that stands, or as much with the same fills at less volume.
    function post(uint64 round, uint64[] calldata prices, FillGroup[] calldata groups) external returns (uint32 result);
    /// @notice Until the round ends. Recomputes one group from the group before it (absent for the first) and the orders that it
    /// names, in order; if anything differs the result falls: half of the bond to the sender, the rest burns.
    function disprove(
        uint64 round,
        uint32 result,
        uint64[] calldata prices,
        GroupProof[] calldata before,
        GroupProof calldata group,
        AuctionOrder[] calldata orders
    ) external;
    /// @notice After the end: the bond of a result that stands; with the best one, half of the fees taken so far.
    function collect(uint64 round, uint32 result) external;

    // --- settlement, after the round's end. Anybody may send all of it.

    /// @notice An order with fills: its payment leaves the deposit, the rest of a buyer's deposit is free again, what it bought is held,
    /// what it sold is earned interval by interval; a provider's deposit stays until the season ends.
    function settle(uint64 round, uint16 index, AuctionOrder calldata order, uint64[] calldata prices, GroupProof calldata group)
        external;
    /// @notice An order without fills, shown by one group or two neighbouring ones between whose fills its index lies, or any order
    /// of a void round: the deposit is free again, and holdings that were set aside.
    function release(uint64 round, uint16 index, AuctionOrder calldata order, GroupProof[] calldata around) external;
    /// @notice Pays out what an order has earned in the intervals that are over, less the fee.
    function earn(uint64 round, uint16 index) external;
    /// @notice After the season: a provider's deposit, less what penalties took.
    function reclaim(uint64 round, uint16 index, AuctionOrder calldata order) external;

    // --- delivery

    /// @notice The sender's units of a pool in the running season become slots of this provider's until the season ends. They can no
    /// longer be sold. The provider's capacity comes from one of its orders.
    function bind(uint64 round, uint16 index, uint16 pool, uint32 units) external;
    /// @notice The holder of bound units names a bid of its own that the provider must open a deal for at no price and claim in time:
    /// until now + drawS + the bid's queue and execution timeouts. At most as many draws are open as units are bound.
    function draw(uint64 round, uint16 index, uint16 pool, bytes calldata bid) external returns (bytes32 id);
    /// @notice The provider shows the deal that holds a claim (or an accepted one) about the drawn job.
    function answer(bytes32 id, Deal calldata deal, Claim calldata claim) external;
    /// @notice The provider cancelled the deal in the admission window (it is barred from the bid): both burn an equal part.
    function giveBack(bytes32 id) external;
    /// @notice After the deadline: the unit's remaining price leaves what the provider earns and goes to the holder, with a penalty of as much
    /// out of the provider's deposit, as far as that reaches. The unit is bound no more.
    function refuse(bytes32 id) external;

    // --- views

    function parameters() external view returns (AuctionParameters memory);
    function pools() external view returns (Pool[] memory);
    function phaseOf(uint64 round) external view returns (Phase);
    function currentRound() external view returns (uint64);
    function roundOf(uint64 round) external view returns (RoundRecord memory);
    /// @notice Leaf (keccak256(abi.encode(round, index, order))) and deposit of a revealed order.
    function orderOf(uint64 round, uint16 index) external view returns (bytes32 leaf, uint128 deposit_, bool settled);
    function resultOf(uint64 round, uint32 result) external view returns (ResultRecord memory);
    function holdingOf(uint64 season, uint16 pool, address account) external view returns (uint256 units);
    function boundOf(uint64 round, uint16 index, uint16 pool, address holder)
        external
        view
        returns (uint32 units, uint32 drawn);
    function streamOf(uint64 round, uint16 index) external view returns (StreamRecord memory);
    function drawOf(bytes32 id) external view returns (DrawRecord memory);
}
