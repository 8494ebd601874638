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
    /// The phases of a round, from its beginning: commit, then reveal, then post; the rest is for disputes
    /// only.
    uint32 commitS;
    uint32 revealS;
    uint32 postS;
    /// Part of what sellers earn that is taken as a fee: half to who posted the result, half burned.
    uint16 feeBps;
    /// What a posted result puts at risk, base units.
    uint128 resultBond;
    /// Least deposit of an order, base units: what it costs not to reveal.
    uint128 depositMin;
    /// Seconds that the provider has to open a deal for a draw, besides the times that the bid gives it.
    uint32 drawS;
    /// Part of a unit's remaining price that each side burns when the provider gives a drawn job back.
    uint16 drawFeeBps;
}

/// A pool: one unit is one slot in a region, with at least these resources, attributes and speed.
struct Pool {
    uint8 region;
    uint32 memoryMib;
    uint32 diskMib;
    uint256 attributes;
    /// Cycles per second.
    uint64 speed;
    /// Least deposit for each unit of new capacity that is offered, base units.
    uint128 unitDeposit;
}

/// Units of one pool in one lot: bought if positive, sold if negative.
struct Entry {
    uint16 pool;
    int32 quantity;
}

/// One of the bundles of which a lot gets at most one.
struct Alternative {
    /// The most that a lot pays for all intervals together; negative: the least that it wants to be paid.
    int64 limit;
    Entry[] entries;
}

/// Who stands behind what an order sells.
enum Backing {
    /// Units that the account holds. An order that only buys has this backing.
    Holdings,
    /// New capacity of a provider, all or nothing for each lot.
    Capacity,
    /// New capacity of a provider, unit by unit: one alternative of one entry with quantity -1. The limit is
    /// -cost, and the k-th eighth of the lots asks for cost x ASK_TABLE[k] / 1000 (SPEC.md): the dearer
    /// the more of it is used.
    Curve
}

/// An order of a round. At most 8 alternatives of 8 entries, pools ascending.
struct AuctionOrder {
    address account;
    Backing backing;
    /// Lots, 1 to 2^20; each gets one of the alternatives or none.
    uint32 lots;
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

/// A leaf of a result: up to 16 fills, ascending by (order, alternative), and the sums over them and all
/// fills before them. All fills of an order lie in one group.
struct FillGroup {
    Fill[] fills;
    /// Units bought and sold so far, one word for each pool.
    uint64[] bought;
    uint64[] sold;
    /// Accepted limits so far (of a curve: minus its used asks).
    int128 welfare;
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
    /// Neighbours in the order of posting, 0: none. Each result claims more welfare than the one before it.
    uint32 previous;
    uint32 next;
    bool disproved;
    bool bondReturned;
    uint16 groups;
    int128 welfare;
    /// Sum over pools of price x units sold.
    uint128 volume;
    /// keccak256(abi.encode(prices)).
    bytes32 pricesHash;
    /// Merkle root over keccak256(abi.encode(FillGroup)).
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
    /// Number of revealed orders, at most 512.
    uint16 orders;
    /// Results posted; they are numbered from 1.
    uint32 results;
    /// The best result that stands, 0: none.
    uint32 best;
    /// keccak256(seed, leaf) over all revealed orders: with it orders and ties are sorted.
    bytes32 seed;
}

/// What an order sold: paid out interval by interval.
struct StreamRecord {
    address account;
    /// First interval, and how many.
    uint64 from;
    uint16 intervals;
    /// Intervals that have been paid out.
    uint16 paid;
    /// Base units still to be paid out.
    uint128 left;
}

/// A job that the holder of bound units wants to run on one of them.
struct DrawRecord {
    address holder;
    address provider;
    uint16 pool;
    uint64 season;
    bytes32 bidHash;
    bytes32 jobHash;
    /// Last second at which the provider may answer.
    uint64 deadline;
    bool ended;
}
