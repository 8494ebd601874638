// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IAuction} from "./interfaces/IAuction.sol";
import {Acceptance} from "./market/Acceptance.sol";
import {Hashing} from "./market/Hashing.sol";
import {
    AuctionOrder,
    AuctionParameters,
    DrawRecord,
    GroupProof,
    Obligation,
    Pool,
    ResultRecord,
    RoundRecord,
    StreamRecord
} from "./types/Auctions.sol";
import {DealState, DealStatus} from "./types/Calls.sol";
import {Bid, Claim, Deal, JobSpec} from "./types/Orders.sol";
import {Schedule} from "./auction/Schedule.sol";
import {Evidence} from "./auction/Evidence.sol";
import {Sums} from "./auction/OrderTerms.sol";

/// @title Holders draw jobs on what they hold, and providers answer with deals; what sellers earn
/// meanwhile, and what is given back in the end
/// @dev The market judges the deals; here it is only asked. A drawn bid has no cap above 0, so that
/// every deal of it is free, and neither tip nor audit, so that no deal of it can lack the holder's
/// money.
///
/// The auction borrows this code through delegatecall, because one contract may hold 24,576 bytes. It
/// has the auction's storage layout (`Books`; CI compares the layouts) and is created by its
/// constructor. Called directly, it finds neither units nor draws and refuses everything.
contract Delivery is Evidence {
    uint256 private constant PAGES_PER_MIB = 16;

    constructor(AuctionParameters memory p, Pool[] memory pools_) Schedule(p, pools_) {}

    /// @dev See `IAuction`.
    function bind(uint64 round, uint16 index, uint16 pool, uint64 units) external nonReentrantView {
        if (units == 0) revert IAuction.AmountZero();
        uint64 season = _seasonOf(round);
        _requireRunning(round);
        Obligation storage obligation = _obligations[round][index][pool];
        if (units > obligation.units - obligation.bound) revert IAuction.UnitsInsufficient();
        uint64 held = _holdings[season][pool][msg.sender];
        if (units > held) revert IAuction.HoldingsInsufficient();
        _holdings[season][pool][msg.sender] = held - units;
        obligation.bound += units;
        _bound[round][index][pool][msg.sender].units += units;
        emit IAuction.Bound(round, index, msg.sender, pool, _streams[round][index].account, units);
    }

    /// @dev See `IAuction`.
    function draw(
        uint64 round,
        uint16 index,
        uint16 pool,
        Bid calldata bid,
        bytes calldata signature,
        JobSpec calldata job
    ) external nonReentrantView returns (bytes32 id) {
        _requireRunning(round);
        BoundRecord storage bound = _bound[round][index][pool][msg.sender];
        if (bound.drawn == bound.units) revert IAuction.NothingToDraw();
        bytes32 bidHash = MARKET.hashBid(bid);
        if (!_isKeys(msg.sender, bidHash, signature)) revert IAuction.SignatureInvalid();
        id = keccak256(abi.encode(round, index, pool, bidHash));
        DrawRecord storage record = _draws[id];
        if (record.holder != address(0)) revert IAuction.DrawOpen();
        address provider = _streams[round][index].account;
        uint256 deadline = block.timestamp + DRAW_S + bid.queueTimeout + bid.executionTimeout;
        if (
            bid.buyer != msg.sender || provider == msg.sender || deadline >= _seasonEndOf(round)
                || bid.queueTimeout < DRAW_S || bid.expiry < block.timestamp + DRAW_S || !_hasTasksLeft(bid, bidHash)
                || MARKET.tasksTaken(bidHash) != 0 || !_isFree(bid) || !_fits(bid, job, _pools[pool])
        ) revert IAuction.BidUnfit();
        record.holder = msg.sender;
        record.round = round;
        record.index = index;
        record.pool = pool;
        record.provider = provider;
        record.tasks = bid.tasks;
        record.deadline = uint64(deadline);
        record.bidHash = bidHash;
        _begin(record);
        emit IAuction.Drawn(id, msg.sender, provider, record, bid, signature, job);
    }

    /// @dev See `IAuction`.
    function answer(bytes32 id, Deal calldata deal, Claim calldata claim) external nonReentrantView {
        DrawRecord storage record = _open(id);
        _requireDeal(record, deal);
        bytes32 dealId = MARKET.hashDeal(deal);
        DealState memory state = MARKET.dealState(deal);
        // The market looks at the deal's cell: whether a claim in it is this deal's only the claim tells.
        bool claimed =
            state.status == DealStatus.Claimed && state.binding == uint192(uint256(Hashing.claim(dealId, claim)));
        if (!claimed || deal.firstTask != record.answered) revert IAuction.DealMismatch();
        record.answered += deal.taskCount;
        emit IAuction.Answered(id, dealId, record.answered);
        if (record.answered != record.tasks) return;
        _end(record);
        _credit(record.holder, record.fee);
    }

    /// @dev See `IAuction`.
    function giveBack(bytes32 id) external nonReentrantView {
        DrawRecord storage record = _open(id);
        if (!MARKET.isBarred(record.bidHash, record.provider)) revert IAuction.DealMismatch();
        emit IAuction.GivenBack(id, _burnFees(record));
    }

    /// @dev See `IAuction`.
    function refuse(bytes32 id, Bid calldata bid) external nonReentrantView {
        DrawRecord storage record = _open(id);
        if (block.timestamp <= record.deadline) revert IAuction.DrawEarly();
        if (MARKET.hashBid(bid) != record.bidHash) revert IAuction.DealMismatch();
        if (!_hasTasksLeft(bid, record.bidHash)) revert IAuction.NotRefused();
        _penalise(id, record);
    }

    /// @dev See `IAuction`.
    function fail(bytes32 id, Deal calldata deal) external nonReentrantView {
        DrawRecord storage record = _open(id);
        if (block.timestamp <= record.deadline) revert IAuction.DrawEarly();
        _requireDeal(record, deal);
        DealStatus status = MARKET.dealState(deal).status;
        if (status != DealStatus.Open && status != DealStatus.Failed) revert IAuction.DealMismatch();
        // Either side may have cancelled it; had the provider, it would have been given back.
        (,, bool burned,) = MARKET.orderState(deal.buyer, deal.bidSalt);
        if (burned) revert IAuction.NotRefused();
        _penalise(id, record);
    }

    /// @dev See `IAuction`.
    function lapse(bytes32 id) external nonReentrantView {
        DrawRecord storage record = _open(id);
        if (block.timestamp <= record.deadline + DRAW_S) revert IAuction.DrawEarly();
        emit IAuction.Lapsed(id, _burnFees(record));
    }

    /// @dev See `IAuction`.
    function earn(uint64 round, uint16 index) external nonReentrantView {
        if (!_earn(round, index)) revert IAuction.NothingEarned();
    }

    /// @dev See `IAuction`.
    function reclaim(uint64 round, uint16 index) external nonReentrantView {
        if (block.timestamp < _seasonEndOf(round)) revert IAuction.WrongSeason();
        OrderRecord storage stored = _orders[round][index];
        if (stored.draws != 0) revert IAuction.DrawOpen();
        uint128 left = stored.deposit;
        if (!stored.settled || left == 0) revert IAuction.NothingToReclaim();
        stored.deposit = 0;
        address account = _streams[round][index].account;
        _credit(account, left);
        emit IAuction.Reclaimed(round, index, account, left);
    }

    /// @dev See `IAuction`.
    function refund(
        uint64 round,
        uint16 index,
        AuctionOrder calldata order,
        uint64[] calldata prices,
        GroupProof calldata group
    ) external nonReentrantView {
        RoundRecord storage record = _rounds[round];
        if (block.timestamp < _seasonEndOf(round)) revert IAuction.WrongSeason();
        if (record.unsettled != 0 || record.streams != 0) revert IAuction.RoundOpen();
        OrderRecord storage stored = _orders[round][index];
        uint256 escrow = record.escrow;
        if (escrow == 0 || stored.paidIn == 0) revert IAuction.NothingToReclaim();
        if (uint256(group.index) + 1 != stored.paidIn) revert IAuction.ResultMismatch();
        ResultRecord storage result = _results[round][record.best];
        _requirePrices(result, prices);
        _requireGroup(result, group);
        if (!_isRevealed(round, index, order)) revert IAuction.OrderMismatch();
        (Sums memory sums,) = _fillsOf(index, order, prices, group.group.fills);
        // What it paid when it was settled by the same group: above 0.
        uint256 paid = uint256(sums.paid);
        uint256 amount = escrow * paid / record.paid;
        stored.paidIn = 0;
        record.paid -= uint128(paid);
        record.escrow = uint128(escrow - amount);
        _credit(order.account, amount);
        emit IAuction.Refunded(round, index, order.account, uint128(amount));
    }

    // ---------------------------------------------------------------- inside

    function _requireRunning(uint64 round) private view {
        if (block.timestamp >= _seasonEndOf(round) || _now() <= round) revert IAuction.WrongSeason();
    }

    function _open(bytes32 id) private view returns (DrawRecord storage record) {
        record = _draws[id];
        if (record.holder == address(0) || record.ended) revert IAuction.DrawUnknown();
    }

    /// @dev Takes one of the units that the holder has bound, and the fee. Units of a pool are alike, so
    /// that a unit is worth half of its deposit at least, whatever it was sold for.
    function _begin(DrawRecord storage record) private {
        (uint64 round, uint16 index, uint16 pool) = (record.round, record.index, record.pool);
        ++_bound[round][index][pool][record.holder].drawn;
        ++_orders[round][index].draws;
        StreamRecord storage stream = _streams[round][index];
        uint256 left = uint256(_pools[pool].unitDeposit) * (stream.intervals - _over(stream));
        uint256 value = _max(_unearned(stream, _obligations[round][index][pool].price), left / (2 * INTERVALS));
        uint256 fee = value * DRAW_FEE_BPS / BPS;
        _debit(record.holder, fee);
        record.value = uint128(value);
        record.fee = uint128(fee);
    }

    /// @dev The draw is open no more. Returns the order that it was drawn from.
    function _end(DrawRecord storage record) private returns (OrderRecord storage stored) {
        record.ended = true;
        --_bound[record.round][record.index][record.pool][record.holder].drawn;
        stored = _orders[record.round][record.index];
        --stored.draws;
    }

    /// @dev The provider failed: the unit is sold no more, and what it is worth goes back with a penalty
    /// of as much. What the unit has not earned pays the fee as if it had, or units could be sold to
    /// oneself for nothing.
    function _penalise(bytes32 id, DrawRecord storage record) private {
        OrderRecord storage stored = _end(record);
        (uint64 round, uint16 index, uint16 pool) = (record.round, record.index, record.pool);
        _earn(round, index);
        --_bound[round][index][pool][record.holder].units;
        Obligation storage obligation = _obligations[round][index][pool];
        --obligation.units;
        --obligation.bound;

        StreamRecord storage stream = _streams[round][index];
        uint256 value = record.value;
        uint256 unearned = _min(_min(value, _unearned(stream, obligation.price)), stream.left);
        _takeEscrow(round, stream, unearned);
        uint256 fee = _payFee(round, unearned);
        uint256 taken = _min(2 * value + fee - unearned, _depositFor(stored, pool));
        stored.deposit -= uint128(taken);
        stored.secured -= _pools[pool].unitDeposit;
        // The fee is a part of what was not earned.
        uint256 paid = unearned + taken - fee;
        uint256 returned = _min(value, paid);
        _credit(record.holder, paid + record.fee);
        emit IAuction.Refused(id, uint128(returned), uint128(paid - returned), uint128(fee));
    }

    /// @dev Nobody was of use to anybody: both sides burn the fee.
    function _burnFees(DrawRecord storage record) private returns (uint128 burned) {
        OrderRecord storage stored = _end(record);
        uint128 fee = record.fee;
        burned = uint128(_min(fee, _depositFor(stored, record.pool)));
        stored.deposit -= burned;
        _credit(record.holder, fee - burned);
        _credit(BURN, 2 * uint256(burned));
    }

    /// @dev What of an order's deposit can be taken for one of its units of a pool: not the unit deposits
    /// of the others.
    function _depositFor(OrderRecord storage stored, uint16 pool) private view returns (uint256) {
        uint256 others = stored.secured - _pools[pool].unitDeposit;
        return stored.deposit > others ? stored.deposit - others : 0;
    }

    /// @dev What a unit of this price earns in the intervals that are not over.
    function _unearned(StreamRecord storage stream, uint256 price) private view returns (uint256) {
        return price * (stream.intervals - _over(stream)) / stream.intervals;
    }

    function _requireDeal(DrawRecord storage record, Deal calldata deal) private view {
        if (deal.bidHash != record.bidHash || deal.provider != record.provider) revert IAuction.DealMismatch();
    }

    /// @dev Contracts may change what they say; a key's signature stays valid, and the provider can
    /// rely on it.
    function _isKeys(address account, bytes32 digest, bytes calldata signature) private pure returns (bool) {
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        return problem == ECDSA.RecoverError.NoError && recovered == account;
    }

    /// @dev Whether the provider can open a deal of a bid: not cancelled, not taken.
    function _hasTasksLeft(Bid calldata bid, bytes32 bidHash) private view returns (bool) {
        (bool cancelled, bool taken,, bool partly) = MARKET.orderState(bid.buyer, bid.salt);
        if (cancelled || taken || MARKET.counterOf(bid.buyer) != bid.counter) return false;
        if (!partly) return true;
        // Of this bid, and not of another one with its salt.
        uint256 opened = MARKET.tasksTaken(bidHash);
        return opened != 0 && opened < bid.tasks;
    }

    /// @dev Whether every deal of a bid is free, locks nothing of the buyer's and needs no mechanism
    /// that does not exist.
    function _isFree(Bid calldata bid) private pure returns (bool) {
        return bid.priceCap == 0 && bid.tip == 0 && bid.auditRateBps == 0 && bid.auditFee == 0 && bid.replicas == 1
            && bid.resources.gpuClass == 0 && bid.resources.gpuCount == 0 && bid.roundTripMsMax == 0
            && bid.rankWindow == 0;
    }

    /// @dev Whether a slot of the pool takes the bid, and can do the job in the bid's time.
    function _fits(Bid calldata bid, JobSpec calldata job, Pool storage pool) private view returns (bool) {
        return keccak256(abi.encode(job)) == bid.jobHash && job.machineVersion == pool.machineVersion
            && job.taskCount == bid.tasks && bid.tasks != 0 && bid.tasks <= Acceptance.TASKS_MAX && job.cycleLimit != 0
            && job.cycleLimit <= Acceptance.CYCLE_LIMIT_MAX && job.slotLimit <= Acceptance.SLOT_LIMIT_MAX
            && job.outputLimit <= Acceptance.OUTPUT_LIMIT_MAX && job.pageLimit <= Acceptance.PAGE_LIMIT_MAX
            && job.pageLimit <= PAGES_PER_MIB * bid.resources.memoryMib
            && uint256(bid.tasks) * job.cycleLimit <= uint256(bid.executionTimeout) * pool.speed
            && bid.regions >> pool.region & 1 == 1 && bid.attributes & ~pool.attributes == 0
            && bid.resources.memoryMib <= pool.memoryMib && bid.resources.diskMib <= pool.diskMib
            && bid.resources.egressMib <= pool.egressMib;
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
