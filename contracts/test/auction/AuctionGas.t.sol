// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AuctionOrder, Backing, Entry, Fill, FillGroup, GroupProof, Pool} from "../../src/types/Auctions.sol";
import {Bid, JobSpec} from "../../src/types/Orders.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev What a round costs its parties, as transactions: run with `--isolate`. `npm run gas` keeps the
/// figures in gas/snapshot.json. With 8 pools; half of the orders sell one unit of new capacity, the
/// other half buy one.
contract AuctionGasTest is AuctionTest {
    uint16 private constant MANY_POOLS = 8;
    /// What one transaction may use (EIP-7825).
    uint256 private constant TRANSACTION_MAX = 1 << 24;

    string private figures;

    function artifact() internal pure override returns (string memory) {
        return "artifacts/Market.json";
    }

    function auctionArtifact() internal pure override returns (string memory) {
        return "artifacts/Auction.json";
    }

    function auctionPools() internal view override returns (Pool[] memory pools) {
        pools = new Pool[](MANY_POOLS);
        for (uint256 i = 0; i < MANY_POOLS; ++i) {
            pools[i] = super.auctionPools()[0];
        }
    }

    /// @dev All orders are in the post phase. Returns the gas of the last commitment and the last reveal.
    function _fillRound(uint64 round, uint256 count) private returns (uint256 committing, uint256 revealing) {
        AuctionOrder[] memory all = new AuctionOrder[](count);
        for (uint256 i = 0; i < count; ++i) {
            // Neighbours trade with each other.
            uint16 pool = uint16(i / 2 % MANY_POOLS);
            all[i] = i % 2 == 0
                ? _order(provider, Backing.Capacity, 1, -1000, pool, -1)
                : _order(buyer, Backing.Holdings, 1, 3000, pool, 1);
        }
        _toCommit(round);
        for (uint256 i = 0; i < count; ++i) {
            _commit(round, all[i], 3000);
            committing = _used();
        }
        _toReveal(round);
        current = round;
        for (uint256 i = 0; i < count; ++i) {
            auction.reveal(round, all[i]);
            revealing = _used();
            _keep(all[i]);
        }
        _toPost(round);
    }

    function _result(uint256 count) private view returns (uint64[] memory prices, FillGroup[] memory groups) {
        prices = new uint64[](MANY_POOLS);
        for (uint256 i = 0; i < MANY_POOLS; ++i) {
            prices[i] = 2000;
        }
        Fill[] memory fills = new Fill[](count);
        for (uint256 i = 0; i < count; ++i) {
            fills[i] = Fill(uint16(i), 0, 1);
        }
        groups = _groups(prices, fills, 16);
    }

    function test_gas_of_a_round() public {
        (uint256 committing, uint256 revealing) = _fillRound(0, 64);
        _figure("commit", committing);
        _figure("reveal", revealing);
        (uint64[] memory prices, FillGroup[] memory groups) = _result(64);
        _post(0, prices, groups);
        _figure("post, 64 orders", _used());
        groups[3].welfare += 1;
        _post(0, prices, groups);
        _disprove(0, 2, prices, groups, 3);
        _figure("disprove a group of 16 fills", _used());
        groups[3].welfare -= 1;
        _toEnd(0);
        _settle(0, 1, prices, groups);
        _settle(0, 3, prices, groups);
        _figure("settle a buyer", _used());
        _settle(0, 0, prices, groups);
        _settle(0, 2, prices, groups);
        _figure("settle a provider", _used());
        vm.warp(_begin(2));
        auction.earn(0, 0);
        auction.earn(0, 2);
        _figure("earn", _used());
        vm.prank(buyer);
        auction.bind(0, 0, 0, 1);
        _figure("bind", _used());
        Bid memory bid = _bid(2);
        (bid.priceCap, bid.tip, bid.queueTimeout, bid.executionTimeout) = (0, 0, DRAW_S, 5000);
        bytes memory signature = _signature(BUYER_KEY, market.hashBid(bid));
        JobSpec memory job = _job(2);
        vm.prank(buyer);
        auction.draw(0, 0, 0, bid, signature, job);
        _figure("draw", _used());

        _fillRound(8, 512);
        (prices, groups) = _result(512);
        _post(8, prices, groups);
        _figure("post, 512 orders", _used());
        assertAtMost(_used(), TRANSACTION_MAX, "a result of a full round fits a transaction");
        _heaviest();
        vm.writeFile("gas/measured-auctions.json", string.concat("{", figures, "\n}\n"));
    }

    /// @dev The most that a group can name: 16 orders of 8 alternatives of 8 entries, of which the last
    /// is filled.
    function _heaviest() private {
        AuctionOrder[] memory all = new AuctionOrder[](16);
        for (uint256 i = 0; i < 16; ++i) {
            all[i] = _order(buyer, Backing.Holdings, 1, 8 * 3000, 0, 1);
            for (uint256 a = 1; a < 8; ++a) {
                all[i] = _with(all[i], all[i].alternatives[0]);
            }
            for (uint256 a = 0; a < 8; ++a) {
                all[i].alternatives[a].limit = 8 * 3000;
                all[i].alternatives[a].entries = new Entry[](8);
                for (uint16 e = 0; e < 8; ++e) {
                    all[i].alternatives[a].entries[e] = Entry(e, 1);
                }
            }
        }
        _enter(9, all);
        uint64[] memory prices = new uint64[](MANY_POOLS);
        Fill[] memory fills = new Fill[](16);
        for (uint256 i = 0; i < 16; ++i) {
            fills[i] = Fill(uint16(i), 7, 1);
        }
        FillGroup[] memory groups = _groups(prices, fills, 16);
        groups[0].surplus = new int64[](MANY_POOLS);
        _post(9, prices, groups);
        _disprove(9, 1, prices, groups, 0);
        _figure("disprove 16 fills of the largest orders", _used());
        assertAtMost(_used(), TRANSACTION_MAX / 4, "a group can be disproved");
    }

    /// @dev Of the last transaction.
    function _used() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }

    function _figure(string memory what, uint256 gas) private {
        figures = string.concat(
            figures, bytes(figures).length == 0 ? "" : ",", '\n  "auction: ', what, '": ', vm.toString(gas)
        );
    }
}
