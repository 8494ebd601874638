// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IOpening} from "../../src/interfaces/IOpening.sol";
import {Hashing} from "../../src/market/Hashing.sol";
import {TestToken} from "../../src/testing/TestToken.sol";
import {DealStatus, OpenCall, Parameters} from "../../src/types/Calls.sol";
import {Bid, Claim, Deal, JobSpec, Offer, Resources} from "../../src/types/Orders.sol";
import {Test} from "./Test.sol";
import {Vm} from "./Vm.sol";

/// @dev A market, a buyer and a provider with money on it, and the shortest way to each stage of a
/// deal. Every test starts here.
abstract contract MarketTest is Test {
    uint256 internal constant BUYER_KEY = 0xb0b;
    uint256 internal constant PROVIDER_KEY = 0x9a0;
    address internal constant ANYBODY = address(0xa11);
    address internal constant GAME = address(0x6a3e);
    address internal constant AUDITS = address(0xa0d1);
    address internal constant FEE_COLLECTOR = address(0xfee);
    address internal constant NATIVE = address(0);
    address internal constant BURN = 0x000000000000000000000000000000000000dEaD;

    uint128 internal constant FLOOR = 0.01 ether;
    uint128 internal constant BOND = 0.002 ether;
    uint128 internal constant TIP = 1000;
    uint256 internal constant FUNDS = 1e24;
    uint256 internal constant COINS = 100 ether;
    uint32 internal constant ADMISSION = 60;
    uint32 internal constant WINDOW = 3600;
    uint32 internal constant DEMAND = 1800;
    uint32 internal constant DELAY = 86_400;
    uint64 internal constant CYCLE_LIMIT = 2e12;

    address internal buyer;
    address internal provider;
    TestToken internal token;
    IMarket internal market;

    function setUp() public virtual {
        vm.warp(1_900_000_000);
        buyer = vm.addr(BUYER_KEY);
        provider = vm.addr(PROVIDER_KEY);
        token = new TestToken("Test Dollar", "TUSD", 6);
        market = _deploy(parameters());
        _fund(buyer);
        _fund(provider);
    }

    function parameters() internal pure virtual returns (Parameters memory) {
        return Parameters({
            game: GAME,
            audits: AUDITS,
            feeCollector: FEE_COLLECTOR,
            admissionWindow: ADMISSION,
            challengeWindow: WINDOW,
            demandWindow: DEMAND,
            withdrawalDelay: DELAY,
            collateralFloor: FLOOR,
            demandBond: BOND,
            admissionFeeBps: 100,
            feeBps: 0
        });
    }

    function artifact() internal pure virtual returns (string memory) {
        return "Market.sol:Market";
    }

    /// @dev By its artifact: the market is compiled through the IR, the tests are not, which takes a
    /// third of the time.
    function _deploy(Parameters memory p) internal returns (IMarket deployed) {
        bytes memory creation = abi.encodePacked(vm.getCode(artifact()), abi.encode(p));
        assembly ("memory-safe") {
            deployed := create(0, add(creation, 0x20), mload(creation))
        }
        assertTrue(address(deployed) != address(0), "deployed");
    }

    function _fund(address account) internal {
        token.mint(account, FUNDS);
        vm.deal(account, COINS);
        vm.startPrank(account);
        token.approve(address(market), FUNDS);
        market.deposit(address(token), FUNDS);
        market.depositNative{value: COINS}();
        vm.stopPrank();
    }

    // ---------------------------------------------------------------- orders

    function _job(uint32 tasks) internal pure virtual returns (JobSpec memory) {
        return JobSpec({
            machineVersion: 1,
            imageRoot: keccak256("image"),
            inputsRoot: keccak256("inputs"),
            manifest: keccak256("manifest"),
            source: keccak256("source"),
            cycleLimit: CYCLE_LIMIT,
            pageLimit: 1024,
            slotLimit: 1 << 20,
            outputLimit: 1000,
            taskCount: tasks
        });
    }

    function _bid(uint32 tasks) internal view returns (Bid memory) {
        return Bid({
            buyer: buyer,
            token: address(token),
            jobHash: keccak256(abi.encode(_job(tasks))),
            tasks: tasks,
            cyclesExpected: 1e12,
            resources: Resources({memoryMib: 64, diskMib: 10, gpuClass: 0, gpuCount: 0, egressMib: 1}),
            priceCap: 5_000_000,
            valueOfTime: 10,
            regions: 1 << 3 | 1 << 7,
            attributes: 5,
            roundTripMsMax: 0,
            roundTripPlace: 0,
            auditRateBps: 0,
            auditFee: 0,
            collateralBps: 20_000,
            replicas: 1,
            queueTimeout: 60,
            executionTimeout: 36_000,
            rankWindow: 0,
            tip: TIP,
            expiry: uint64(block.timestamp + 1 days),
            salt: 1,
            counter: market.counterOf(buyer)
        });
    }

    function _offer() internal view returns (Offer memory) {
        return Offer({
            provider: provider,
            token: address(token),
            capacityId: keccak256("pool"),
            slots: 4,
            peerKey: keccak256("peer"),
            region: 7,
            attributes: 13,
            resources: Resources({memoryMib: 4096, diskMib: 100, gpuClass: 0, gpuCount: 0, egressMib: 50}),
            startFee: 10_000,
            cyclePrice: 500_000_000_000,
            memoryPrice: 4_000_000_000,
            diskPrice: 1_000_000_000,
            gpuPrice: 7,
            egressPrice: 3_000_000_000,
            speed: 1e9,
            collateralMax: 1e18,
            machineVersion: 1,
            tip: TIP / 2,
            expiry: uint64(block.timestamp + 1 days),
            salt: 2,
            counter: market.counterOf(provider)
        });
    }

    function _signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _call(Bid memory bid, Offer memory offer, uint32 count) internal view returns (OpenCall memory) {
        return OpenCall({
            bid: bid,
            bidSignature: _signature(BUYER_KEY, market.hashBid(bid)),
            offer: offer,
            offerSignature: _signature(PROVIDER_KEY, market.hashOffer(offer)),
            job: _job(bid.tasks),
            count: count
        });
    }

    // ---------------------------------------------------------------- stages

    /// @dev Opens as anybody, and rebuilds the deal from the log.
    function _open(OpenCall memory call) internal returns (Deal memory deal) {
        vm.recordLogs();
        vm.prank(ANYBODY);
        bytes32 dealId = market.open(call);
        deal = _openedDeal(vm.getRecordedLogs());
        assertEq(market.hashDeal(deal), dealId, "the logged deal has the returned id");
    }

    function _open(uint32 tasks) internal returns (Deal memory) {
        return _open(_call(_bid(tasks), _offer(), tasks));
    }

    function _openedDeal(Vm.Log[] memory logs) internal pure returns (Deal memory) {
        for (uint256 i = logs.length; i != 0; --i) {
            if (logs[i - 1].topics[0] == IOpening.DealOpened.selector) return abi.decode(logs[i - 1].data, (Deal));
        }
        revert NotTrue("a deal was opened");
    }

    /// @dev The inner hash of task i of these tests: exited with code 0, no output.
    function _inner(uint256 i) internal pure returns (bytes32) {
        return Hashing.inner(0, 0, keccak256(abi.encode("output", i)), 300);
    }

    /// @dev Claim calldata: task i of the job takes `cycles` + i cycles.
    function _tasks(Deal memory deal, uint256 cycles) internal pure returns (bytes memory tasks) {
        for (uint256 i = deal.firstTask; i < deal.firstTask + deal.taskCount; ++i) {
            tasks = bytes.concat(tasks, bytes6(uint48(cycles + i)), _inner(i));
        }
    }

    /// @dev What the first task of these tests takes; the others take a few cycles more.
    function _cycles() internal pure virtual returns (uint256) {
        return 1e12;
    }

    function _claim(Deal memory deal) internal returns (Claim memory) {
        bytes memory tasks = _tasks(deal, _cycles());
        vm.prank(provider);
        return market.claim(deal, tasks);
    }

    function _acceptSignature(Deal memory deal, Claim memory made) internal view returns (bytes memory) {
        bytes32 dealId = market.hashDeal(deal);
        return _signature(BUYER_KEY, _digest(Hashing.acceptStruct(dealId, Hashing.claimOf(dealId, made))));
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", market.domainSeparator(), structHash));
    }

    // ---------------------------------------------------------------- expectations

    function _free(address account) internal view returns (uint256) {
        return market.balanceOf(account, address(token));
    }

    function _coins(address account) internal view returns (uint256) {
        return market.balanceOf(account, NATIVE);
    }

    function _status(Deal memory deal) internal view returns (DealStatus) {
        return market.dealState(deal).status;
    }

    function assertStatus(Deal memory deal, DealStatus expected) internal view {
        assertEq(uint256(_status(deal)), uint256(expected), "status of the deal");
    }

    /// @dev After a deal has ended, everything is in somebody's balance again.
    function assertNothingLocked() internal view {
        assertEq(
            _free(buyer) + _free(provider) + _free(ANYBODY) + _free(BURN) + _free(FEE_COLLECTOR) + _free(address(this)),
            market.totalHeld(address(token)),
            "tokens in balances"
        );
        assertEq(
            _coins(buyer) + _coins(provider) + _coins(ANYBODY) + _coins(BURN), market.totalHeld(NATIVE), "coins in balances"
        );
        assertEq(market.openSlots(provider, keccak256("pool")), 0, "slots taken");
    }
}
