// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IMarket} from "../src/interfaces/IMarket.sol";
import {IOpening} from "../src/interfaces/IOpening.sol";
import {Acceptance} from "../src/market/Acceptance.sol";
import {AuditTerms} from "../src/market/AuditTerms.sol";
import {DealWord, DealWords} from "../src/market/DealWord.sol";
import {Hashing} from "../src/market/Hashing.sol";
import {Merkle} from "../src/market/Merkle.sol";
import {Money} from "../src/market/Money.sol";
import {BidWords, OfferWords} from "../src/market/OrderWords.sol";
import {Ranking} from "../src/market/Ranking.sol";
import {Refusal} from "../src/market/Refusal.sol";
import {Signatures} from "../src/market/Signatures.sol";
import {DealStatus} from "../src/types/Calls.sol";
import {Bid, Claim, Deal, JobSpec, Offer} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";

interface VmStore {
    function store(address target, bytes32 slot, bytes32 value) external;
}

/// @dev Rules that take calldata, callable from a test.
contract Rules {
    function isSigned(address signer, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return Signatures.isValid(signer, digest, signature);
    }

    function rootOf(bytes32 leaf, uint256 index, bytes32[] calldata path) external pure returns (bytes32) {
        return Merkle.rootOf(leaf, index, path);
    }
}

/// @dev The golden vectors that bind Rust, Solidity and TypeScript: ../protocol/vectors/*.json.
contract VectorsTest is MarketTest {
    Rules private rules = new Rules();

    function setUp() public override {
        super.setUp();
        string memory json = _read("domain");
        vm.chainId(vm.parseJsonUint(json, ".chainId"));
        // The vectors' market: this one's code at their address.
        address there = vm.parseJsonAddress(json, ".verifyingContract");
        vm.etch(there, address(market).code);
        market = IMarket(there);
    }

    function _read(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("../protocol/vectors/", name, ".json"));
    }

    function _item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]");
    }

    function _uint(string memory json, string memory at, string memory field) private pure returns (uint256) {
        return vm.parseJsonUint(json, string.concat(at, ".", field));
    }

    function _word(string memory json, string memory at, string memory field) private pure returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(at, ".", field));
    }

    function _bytes(string memory json, string memory at, string memory field) private pure returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(at, ".", field));
    }

    function _count(string memory json, string memory list) private view returns (uint256 count) {
        while (vm.keyExistsJson(json, _item(list, count))) ++count;
        assertTrue(count != 0, list);
    }

    function test_the_domain_is_that_of_the_vectors() public view {
        assertEq(market.domainSeparator(), vm.parseJsonBytes32(_read("domain"), ".separator"), "separator");
    }

    function test_bids_offers_and_jobs_hash_alike() public view {
        string memory json = _read("orders");
        for (uint256 i = _count(json, "bids"); i != 0; --i) {
            string memory at = _item("bids", i - 1);
            Bid memory bid = abi.decode(_bytes(json, at, "encoded"), (Bid));
            assertEq(market.hashBid(bid), _word(json, at, "digest"), "bid");
        }
        for (uint256 i = _count(json, "offers"); i != 0; --i) {
            string memory at = _item("offers", i - 1);
            Offer memory offer = abi.decode(_bytes(json, at, "encoded"), (Offer));
            assertEq(market.hashOffer(offer), _word(json, at, "digest"), "offer");
        }
        for (uint256 i = _count(json, "jobs"); i != 0; --i) {
            string memory at = _item("jobs", i - 1);
            JobSpec memory job = abi.decode(_bytes(json, at, "encoded"), (JobSpec));
            assertEq(Hashing.job(job), _word(json, at, "jobHash"), "job");
        }
    }

    function test_acceptances_relays_and_receipts_hash_and_verify_alike() public view {
        string memory json = _read("orders");
        string[3] memory lists = ["accepts", "relays", "receipts"];
        for (uint256 k = 0; k < 3; ++k) {
            for (uint256 i = _count(json, lists[k]); i != 0; --i) {
                string memory at = _item(lists[k], i - 1);
                bytes memory encoded = _bytes(json, at, "encoded");
                bytes32 hash;
                if (k == 2) {
                    (bytes32 id, uint32 task, bytes32 root) = abi.decode(encoded, (bytes32, uint32, bytes32));
                    hash = Hashing.receiptStruct(id, task, root);
                } else {
                    (bytes32 id, bytes32 claimHash) = abi.decode(encoded, (bytes32, bytes32));
                    hash = k == 0 ? Hashing.acceptStruct(id, claimHash) : Hashing.relayStruct(id, claimHash);
                }
                assertEq(hash, _word(json, at, "structHash"), "structure");
                bytes32 digest = _digest(hash);
                assertEq(digest, _word(json, at, "digest"), "digest");
                address signer = vm.parseJsonAddress(json, string.concat(at, ".signer"));
                assertTrue(rules.isSigned(signer, digest, _bytes(json, at, "signature")), "65 bytes");
                assertTrue(rules.isSigned(signer, digest, _bytes(json, at, "compact")), "64 bytes");
            }
        }
    }

    function test_signatures_are_accepted_and_refused_alike() public view {
        string memory json = _read("signatures");
        string[2] memory lists = ["accepted", "refused"];
        for (uint256 k = 0; k < 2; ++k) {
            for (uint256 i = _count(json, lists[k]); i != 0; --i) {
                string memory at = _item(lists[k], i - 1);
                bool valid = rules.isSigned(
                    vm.parseJsonAddress(json, string.concat(at, ".signer")),
                    _word(json, at, "digest"),
                    _bytes(json, at, "signature")
                );
                assertTrue(valid == (k == 0), vm.parseJsonString(json, string.concat(at, ".why")));
            }
        }
    }

    function test_results_and_halted_states_hash_alike() public view {
        string memory json = _read("hashes");
        for (uint256 i = _count(json, "halted"); i != 0; --i) {
            string memory at = _item("halted", i - 1);
            bytes32 inner = Hashing.inner(
                _uint(json, at, "status"),
                _uint(json, at, "exitCode"),
                _word(json, at, "outputRoot"),
                _uint(json, at, "outputLength")
            );
            assertEq(inner, _word(json, at, "inner"), "inner");
            assertEq(
                Hashing.halted(_word(json, at, "jobHash"), _uint(json, at, "task"), _uint(json, at, "cycles"), inner),
                _word(json, at, "haltedHash"),
                "halted"
            );
        }
    }

    function test_trees_have_the_same_roots_depths_and_paths() public view {
        string memory json = _read("hashes");
        for (uint256 i = _count(json, "taskTrees"); i != 0; --i) {
            string memory at = _item("taskTrees", i - 1);
            bytes32[] memory given = vm.parseJsonBytes32Array(json, string.concat(at, ".leaves"));
            // One word more, as rootInPlace needs it.
            bytes32[] memory leaves = new bytes32[](given.length + 1);
            for (uint256 k = 0; k < given.length; ++k) {
                leaves[k] = given[k];
            }
            assembly ("memory-safe") {
                mstore(leaves, mload(given))
            }
            assertEq(Merkle.rootInPlace(leaves), _word(json, at, "inputsRoot"), "root");
        }

        json = _read("merkle");
        for (uint256 i = _count(json, "depths"); i != 0; --i) {
            string memory at = _item("depths", i - 1);
            uint256 leaves = (_uint(json, at, "length") + 127) / 128;
            assertEq(Merkle.depth(leaves == 0 ? 1 : leaves), _uint(json, at, "depth"), "depth");
        }
        for (uint256 i = _count(json, "proofs"); i != 0; --i) {
            string memory at = _item("proofs", i - 1);
            bytes32 root = rules.rootOf(
                _word(json, at, "leaf"),
                _uint(json, at, "index"),
                vm.parseJsonBytes32Array(json, string.concat(at, ".siblings"))
            );
            assertEq(root, _word(json, at, "root"), "root of a path");
        }
        assertEq(vm.parseJsonBytes32Array(json, ".zeroSubtrees")[0], Merkle.ZERO_LEAF, "zero leaf");
    }

    /// @dev Puts each vector's deal into its cell, as if it had been opened, and claims it.
    function test_claims_are_computed_alike() public {
        string memory json = _read("claims");
        for (uint256 i = _count(json, "claims"); i != 0; --i) {
            string memory at = _item("claims", i - 1);
            Deal memory deal = abi.decode(_bytes(json, at, "encodedDeal"), (Deal));
            bytes32 dealId = market.hashDeal(deal);
            assertEq(dealId, _word(json, at, "dealId"), "deal id");
            assertEq(AuditTerms.rate(deal), _uint(json, at, "auditRateBps"), "audit rate");
            assertEq(AuditTerms.fee(deal), _uint(json, at, "auditFee"), "audit fee");
            assertEq(Ranking.window(deal), _uint(json, at, "rankWindow"), "rank window");
            assertEq(Ranking.startsBy(deal), _uint(json, at, "startsBy"), "from when its times count");
            _place(deal, dealId);
            vm.warp(deal.openedAt);
            bytes memory tasks = _bytes(json, at, "tasks");
            vm.prank(deal.provider);
            Claim memory made = market.claim(deal, tasks);
            assertEq(made.resultRoot, _word(json, at, "resultRoot"), "result root");
            assertEq(made.cycles, _uint(json, at, "cycles"), "cycles");
            assertEq(made.price, _uint(json, at, "price"), "price");
            assertEq(Hashing.claimOf(dealId, made), _word(json, at, "claimHash"), "claim hash");
        }
    }

    function _place(Deal memory deal, bytes32 dealId) private {
        uint256 poolsSlot = 6;
        bytes32 pool = keccak256(abi.encode(keccak256(abi.encode(deal.provider, deal.capacityId)), poolsSlot));
        bytes32 cell = keccak256(abi.encode(uint256(deal.cell), uint256(pool) + 1));
        VmStore(address(vm)).store(address(market), pool, bytes32(uint256(1)));
        VmStore(address(vm)).store(
            address(market), cell, bytes32(DealWord.unwrap(DealWords.opened(dealId, 0)))
        );
        assertStatus(deal, DealStatus.Open);
    }

    function test_prices_collaterals_fees_and_slashes_are_computed_alike() public view {
        string memory json = _read("money");
        for (uint256 i = _count(json, "prices"); i != 0; --i) {
            string memory at = _item("prices", i - 1);
            uint256 price = Money.taskPrice(
                _uint(json, at, "startFee"), _uint(json, at, "unitPrice"), _uint(json, at, "priceCap"), _uint(json, at, "cycles")
            );
            assertEq(price, _uint(json, at, "taskPrice"), "task price");
            _assertNarrow(json, at, "escrow", price * _uint(json, at, "count"));
        }
        for (uint256 i = _count(json, "collaterals"); i != 0; --i) {
            string memory at = _item("collaterals", i - 1);
            _assertNarrow(json, at, "collateral", Money.collateral(_uint(json, at, "escrow"), _uint(json, at, "bps")));
        }
        for (uint256 i = _count(json, "shares"); i != 0; --i) {
            string memory at = _item("shares", i - 1);
            assertEq(Money.share(_uint(json, at, "amount"), _uint(json, at, "bps")), _uint(json, at, "fee"), "fee");
        }
        for (uint256 i = _count(json, "slashes"); i != 0; --i) {
            string memory at = _item("slashes", i - 1);
            uint256 toBuyer = _uint(json, at, "amount") / 2;
            assertEq(toBuyer, _uint(json, at, "toBuyer"), "to the buyer");
            assertEq(_uint(json, at, "amount") - toBuyer, _uint(json, at, "burned"), "burned");
        }
    }

    /// @dev An empty string stands for more than 128 bits.
    function _assertNarrow(string memory json, string memory at, string memory field, uint256 value) private pure {
        string memory expected = vm.parseJsonString(json, string.concat(at, ".", field));
        if (bytes(expected).length == 0) assertTrue(value > type(uint128).max, field);
        else assertEq(value, vm.parseUint(expected), field);
    }

    function test_offers_rank_alike() public {
        string memory json = _read("ranking");
        for (uint256 i = _count(json, "scores"); i != 0; --i) {
            string memory at = _item("scores", i - 1);
            BidWords memory bid;
            Deal memory deal;
            bid.cyclesExpected = uint64(_uint(json, at, "cyclesExpected"));
            (bid.priceCap, bid.valueOfTime) =
                (uint128(_uint(json, at, "priceCap")), uint128(_uint(json, at, "valueOfTime")));
            (deal.startFee, deal.unitPrice) =
                (uint128(_uint(json, at, "startFee")), uint128(_uint(json, at, "unitPrice")));
            deal.taskCount = uint32(_uint(json, at, "count"));
            uint256 cost = Ranking.expectedCost(bid, deal);
            assertEq(cost, _uint(json, at, "cost"), "expected cost");
            uint256 score = Ranking.score(bid, cost, _uint(json, at, "speed"), deal.taskCount);
            assertEq(score, _uint(json, at, "score"), "score");
        }
        for (uint256 i = _count(json, "comparisons"); i != 0; --i) {
            string memory at = _item("comparisons", i - 1);
            bool better = Ranking.isBetter(_uint(json, at, "score"), _uint(json, at, "than"));
            assertTrue(better == vm.parseJsonBool(json, string.concat(at, ".better")), "better");
        }
        for (uint256 i = _count(json, "idleFees"); i != 0; --i) {
            string memory at = _item("idleFees", i - 1);
            Deal memory deal;
            (deal.unitPrice, deal.openedAt) = (uint128(_uint(json, at, "unitPrice")), uint64(block.timestamp));
            vm.warp(block.timestamp + _uint(json, at, "heldS"));
            uint256 fee = Ranking.idleFee(deal, _uint(json, at, "cost"), _uint(json, at, "speed"));
            assertEq(fee, _uint(json, at, "idleFee"), "idle fee");
        }
    }

    function test_unit_prices_are_computed_alike() public view {
        string memory json = _read("money");
        for (uint256 i = _count(json, "unitPrices"); i != 0; --i) {
            string memory at = _item("unitPrices", i - 1);
            BidWords memory bid;
            OfferWords memory offer;
            JobSpec memory job;
            Deal memory deal;
            (bid.replicas, bid.regions, bid.buyer, bid.priceCap) = (1, 1, address(1), type(uint128).max);
            (bid.executionTimeout, offer.speed, job.cycleLimit, offer.collateralMax) = (1, 1, 1, type(uint128).max);
            string memory resources = string.concat(at, ".resources");
            bid.memoryMib = uint32(_uint(json, resources, "memoryMib"));
            bid.diskMib = uint32(_uint(json, resources, "diskMib"));
            bid.egressMib = uint32(_uint(json, resources, "egressMib"));
            bid.gpuCount = uint16(_uint(json, resources, "gpuCount"));
            (offer.memoryMib, offer.diskMib, offer.egressMib) = (bid.memoryMib, bid.diskMib, bid.egressMib);
            offer.cyclePrice = uint128(_uint(json, at, "cyclePrice"));
            offer.memoryPrice = uint128(_uint(json, at, "memoryPrice"));
            offer.diskPrice = uint128(_uint(json, at, "diskPrice"));
            offer.gpuPrice = uint128(_uint(json, at, "gpuPrice"));
            offer.egressPrice = uint128(_uint(json, at, "egressPrice"));
            bytes4 refusal = Acceptance.agree(bid, offer, job, 1, deal);
            string memory expected = vm.parseJsonString(json, string.concat(at, ".unitPrice"));
            if (bid.gpuCount != 0) {
                assertEq(bytes32(refusal), bytes32(IOpening.GpuUnsupported.selector), "no GPU yet");
            } else if (bytes(expected).length == 0) {
                assertEq(bytes32(refusal), bytes32(IOpening.PriceOutOfRange.selector), "out of range");
            } else {
                assertEq(bytes32(refusal), bytes32(Refusal.NONE), "accepted");
                assertEq(deal.unitPrice, vm.parseUint(expected), "unit price");
            }
        }
    }
}
