// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

// What the auction of reserved capacity takes and shows. Rust reads this file. Nothing here is signed:
// orders are committed to and revealed by their own accounts.

/// What a deployment fixes for ever. Times in seconds.
struct AuctionParameters {
    /// The market whose deals answer draws.
    address market;
    /// ERC-20 that pays.
    address token;
    /// When round 0 begins.
    uint64 start;
    /// Length of a round, and of an interval of delivery: round r decides about capacity from interval
    /// r + 1 to the end of that interval's season.
    uint32 intervalS;
    /// Intervals of a season, 1 to 1,024. Interval t belongs to season t / intervals.
    uint16 intervals;
    /// The phases of a round, from its beginning: commit, then reveal, then post; the rest, at least as
    /// long as the last, is for disputes only.
    uint32 commitS;
    uint32 revealS;
    uint32 postS;
    /// Part of what sellers earn that is taken as a fee: half to who posted the result, half burned.
    uint16 feeBps;
    /// What a posted result puts at risk, base units, at least 1.
    uint128 resultBond;
    /// Least deposit of an order, base units, at least 1: what it costs not to reveal.
    uint128 depositMin;
    /// Seconds that the provider has to open a deal for a draw, besides the times that the bid gives it,
    /// and least queue timeout of the bid; at least 10.
    uint32 drawS;
    /// Part of what a unit is worth that each side burns when the provider gives a drawn job back, or
    /// the draw lapses.
    uint16 drawFeeBps;
}

/// A pool: one unit is one slot in a region, with at least these resources, attributes and speed. At
/// most 32 pools.
struct Pool {
    uint8 region;
    uint32 memoryMib;
    uint32 diskMib;
    uint32 egressMib;
    uint256 attributes;
    /// Cycles per second.
    uint64 speed;
    /// Least deposit for each unit of new capacity that is offered, base units, below 2^80. Units of a
    /// pool are alike, whoever sold them: this stands behind each of them for a whole season, whatever its
    /// price. It covers a price of half as much.
    uint128 unitDeposit;
    /// Version of the machine that runs drawn jobs.
    uint32 machineVersion;
}

/// Units of one pool in one lot: bought if positive, sold if negative. Not 0, below 2^22 in size.
struct Entry {
    uint16 pool;
    int32 quantity;
}

/// One of the bundles of which a lot gets at most one.
struct Alternative {
    /// The most that a lot pays for all intervals together; negative: the least that it wants to be paid.
    /// At most 2^62 in size.
    int64 limit;
    /// 1 to 8, pools ascending.
    Entry[] entries;
}

/// Who stands behind what an order sells.
enum Backing {
    /// Units that the account holds. An order that only buys has this backing.
    Holdings,
    /// New capacity of a provider, all or nothing for each lot.
    Capacity,
    /// New capacity of a provider, unit by unit: one alternative of one entry with quantity -1. The
    /// limit is -cost, cost < 2^35, and unit number j of the lots (from 0) asks for ceil(cost x
    /// ASK_TABLE[k] / 1000), ASK_TABLE = 1000, 1000, 1050, 1100, 1200, 1350, 1600, 2000: k is the
    /// eighth that the unit lies in, floor(lots x k / 8) <= j < floor(lots x (k + 1) / 8). They are
    /// used in that order.
    Curve
}

/// An order of a round.
struct AuctionOrder {
    address account;
    Backing backing;
    /// Lots, 1 to 2^20; each gets one of the alternatives or none.
    uint32 lots;
    /// 1 to 8.
    Alternative[] alternatives;
    /// What hides the order in its commitment.
    bytes32 salt;
}

/// Lots of one alternative of an order that a result accepts.
struct Fill {
    /// Index of the order among the revealed ones of the round.
    uint16 order;
    uint8 alternative;
    uint32 lots;
}

/// A leaf of a result: 1 to 16 fills, ascending by (order, alternative), and the sums over them and all
/// fills before them. All fills of an order lie in one group.
struct FillGroup {
    Fill[] fills;
    /// Units sold less units bought so far, one word for each pool.
    int64[] surplus;
    /// Accepted limits so far (of a curve: minus its used asks).
    int128 welfare;
    /// Price x units sold so far, summed over pools.
    uint128 volume;
}

/// A group with its path to the root of a result.
struct GroupProof {
    FillGroup group;
    uint16 index;
    bytes32[] path;
}

/// What is stored about a posted result.
struct ResultRecord {
    address poster;
    /// Neighbours among those that stand, 0: none. No result is better than the next one.
    uint32 previous;
    uint32 next;
    bool disproved;
    bool collected;
    uint16 groups;
    /// As in the last group.
    int128 welfare;
    uint128 volume;
    /// keccak256(abi.encode(prices)).
    bytes32 pricesHash;
    /// Of all fills, one word for each: order << 40 | alternative << 32 | lots. However they are grouped.
    bytes32 fillsHash;
    /// Merkle root over keccak256(abi.encode(FillGroup)); missing leaves are keccak256 of 128 zero
    /// bytes, as in all trees (SPEC.md, 3).
    bytes32 root;
}

/// Where a round stands.
enum Phase {
    /// It lies ahead.
    Ahead,
    Commit,
    Reveal,
    Post,
    Dispute,
    /// Its best result that was not disproved is final; without one, the round is void.
    Final
}

/// What is stored about a round.
struct RoundRecord {
    /// Number of commitments, at most 512.
    uint16 commitments;
    /// Number of revealed orders.
    uint16 orders;
    /// Results posted; they are numbered from 1.
    uint32 results;
    /// The best result that stands, 0: none.
    uint32 best;
    /// What buyers have paid that sellers have not earned yet, base units.
    uint128 escrow;
    /// Revealed orders that are neither settled nor released, and streams that are not paid out.
    uint16 unsettled;
    uint16 streams;
    /// ordersHash = keccak256(abi.encode(ordersHash, leaf)) with each revealed order, from 0: names the
    /// orders and their places.
    bytes32 ordersHash;
    /// What buyers have paid in all and were not refunded, base units.
    uint128 paid;
}

/// What an order sold: paid out interval by interval.
struct StreamRecord {
    address account;
    /// First interval, and how many.
    uint64 from;
    uint16 intervals;
    /// Intervals that have been paid out.
    uint16 paid;
    /// Base units still to be paid out: after each of the m intervals that remain, 1/m of it, rounded
    /// down.
    uint128 left;
}

/// Units of new capacity that an order sold in one pool.
struct Obligation {
    uint64 units;
    /// Of these, bound by holders.
    uint64 bound;
    /// What a unit costs for all intervals of its order.
    uint64 price;
}

/// A job that the holder of bound units wants to run on one of them.
struct DrawRecord {
    address holder;
    bool ended;
    /// The order of the provider that it is drawn from, and the pool.
    uint64 round;
    uint16 index;
    uint16 pool;
    address provider;
    uint32 tasks;
    /// Tasks, from the first on, of which deals that held a claim were shown.
    uint32 answered;
    /// Last second at which the provider may open a deal and claim.
    uint64 deadline;
    /// What the unit is worth from the interval of the draw on: that part of its price or, if it is
    /// more, of half of its unit deposit. What a refusal gives back.
    uint128 value;
    /// What the holder has set aside for a draw that ends without fault.
    uint128 fee;
    bytes32 bidHash;
}
