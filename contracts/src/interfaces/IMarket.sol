// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, Claim, Deal, JobSpec, Offer} from "../types/Orders.sol";
import {
    ClaimCall,
    DealState,
    Failure,
    LeafAnswer,
    LeafIndex,
    OpenCall,
    Parameters,
    Payout,
    Settlement,
    TaskOpening
} from "../types/Calls.sol";

/// @title The market: escrow between a signed bid and a signed offer
/// @notice The life of a deal: open -> (cancel in the admission window) -> claim -> accept, or the
/// challenge window passes -> finalise. A deal that misses its deadline, withholds demanded output
/// or loses a game fails: the buyer is refunded, half of the collateral goes to the buyer (or to
/// the challengers) and the rest is burned.
///
/// Times are Unix seconds and limits are inclusive: a claim is valid at its deadline, a timeout one
/// second later. Amounts are base units of a token; the zero address stands for the chain's own
/// coin. All money is pulled: every call credits ledger balances, only `withdraw` pays out.
///
/// Every function that refuses does so with one of the errors below and changes nothing. Batches
/// skip an item that would be refused and log the selector of its error.
interface IMarket {
    // ---------------------------------------------------------------- accounts

    event Deposited(address indexed account, address indexed token, uint256 amount);
    event WithdrawalRequested(address indexed account, address indexed token, uint256 amount, uint64 readyAt);
    event Withdrawn(address indexed account, address indexed token, uint256 amount);

    /// An amount of zero.
    error AmountZero();
    /// The market would hold more than 2^128 - 1 of the token.
    error AmountTooLarge();
    /// The zero address is not an ERC-20; use depositNative.
    error TokenIsNative();
    /// The address holds no code.
    error TokenNotContract();
    /// The market received another amount than was sent: fee-on-transfer tokens are refused.
    error TokenTakesFee();
    /// The market's balance of the token fell without a withdrawal: rebasing tokens are refused.
    error TokenRebased();
    /// The account's free balance is too small.
    error BalanceInsufficient();
    /// No withdrawal was requested.
    error NothingPending();
    /// The withdrawal delay has not passed.
    error WithdrawalTooEarly();
    /// The account refused the coin.
    error NativeTransferFailed();

    /// @notice Moves `amount` of an ERC-20 from the caller into its market balance.
    function deposit(address token, uint256 amount) external;
    /// @notice Credits the coin sent along to the caller.
    function depositNative() external payable;
    /// @notice `deposit` after an ERC-2612 permit. A permit that somebody already used is no error
    /// as long as the allowance is there.
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    /// @notice Deposits for `from` by an ERC-3009 authorisation whose nonce is the hash of the bid
    /// that it funds. Anybody may send it; the credit goes to `from`.
    function depositWithAuthorization(
        address token,
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 bidHash,
        bytes calldata signature
    ) external;
    /// @notice Sets aside `amount` of the caller's free balance for withdrawal after the delay.
    /// Replaces an earlier request; zero cancels it.
    function requestWithdrawal(address token, uint256 amount) external;
    /// @notice Pays out what was requested once the delay has passed.
    function withdraw(address token) external;
    /// @notice Runs several of the market's functions in one transaction (deposit and open, say);
    /// all or nothing.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /// @notice The free balance of an account.
    function balanceOf(address account, address token) external view returns (uint256);
    /// @notice What an account has set aside, and when it may be withdrawn.
    function pendingWithdrawal(address account, address token) external view returns (uint256 amount, uint64 readyAt);
    /// @notice Everything the market holds of a token: free, pending, escrowed, locked and burned.
    function totalHeld(address token) external view returns (uint256);

    // ---------------------------------------------------------------- orders

    event OrderCancelled(address indexed account, uint256 salt);
    event AllOrdersCancelled(address indexed account, uint64 counter);

    /// @notice Cancels the caller's order with this salt: no further deal opens from it.
    function cancelOrder(uint256 salt) external;
    /// @notice Cancels every order that the caller has signed so far.
    function cancelAll() external;

    /// @notice The counter that an account's orders must carry.
    function counterOf(address account) external view returns (uint64);
    /// @notice The bits of an order: cancelled; taken whole by one deal; has burned an admission
    /// fee; filled in parts.
    function orderState(address account, uint256 salt)
        external
        view
        returns (bool cancelled, bool taken, bool burned, bool partly);
    /// @notice Tasks of a bid that were handed out in parts (zero for a bid taken whole).
    function tasksTaken(bytes32 bidHash) external view returns (uint32);
    /// @notice Deals that hold a slot of a provider's pool.
    function openSlots(address provider, bytes32 capacityId) external view returns (uint32);
    /// @notice Whether a provider has cancelled a deal of this bid and may not take it again.
    function isBarred(bytes32 bidHash, address provider) external view returns (bool);
    function domainSeparator() external view returns (bytes32);
    /// @notice The EIP-712 digest of a bid: its order id.
    function hashBid(Bid calldata bid) external view returns (bytes32);
    /// @notice The EIP-712 digest of an offer: its order id.
    function hashOffer(Offer calldata offer) external view returns (bytes32);
    function hashJob(JobSpec calldata job) external pure returns (bytes32);
    function hashDeal(Deal calldata deal) external view returns (bytes32);
    function hashClaim(bytes32 dealId, Claim calldata claim) external pure returns (bytes32);

    // ---------------------------------------------------------------- opening

    /// Logged once per bid, with its first deal.
    event JobPosted(bytes32 indexed jobHash, bytes32 indexed bidHash, JobSpec job);
    event DealOpened(bytes32 indexed dealId, address indexed buyer, address indexed provider, Deal deal);
    /// A deal took over `dealId`'s first tasks of the range that `failedDealId` left.
    event DealReopened(bytes32 indexed failedDealId, bytes32 indexed dealId);
    /// `reason` is the selector of the error with which `open` would have reverted.
    event OpenSkipped(uint256 indexed index, bytes32 indexed bidHash, bytes4 reason);

    /// Neither a valid ECDSA signature by the buyer nor accepted by its ERC-1271 contract.
    error BidSignatureInvalid();
    /// Neither a valid ECDSA signature by the provider nor accepted by its ERC-1271 contract.
    error OfferSignatureInvalid();
    error BidExpired();
    error OfferExpired();
    /// By its bit or by the account's counter.
    error BidCancelled();
    /// By its bit or by the account's counter.
    error OfferCancelled();
    /// Fewer tasks are left than the deal wants.
    error BidTaken();
    /// Another bid of the account used the same salt.
    error SaltReused();
    /// The job is not the one that the bid names.
    error JobMismatch();
    /// A limit of the job lies outside what the machine allows.
    error JobOutOfRange();
    /// Zero tasks, more than 2048, or (reopening) more than the failed deal left.
    error CountOutOfRange();
    error SelfDeal();
    error ReplicasUnsupported();
    error GpuUnsupported();
    error RoundTripUnsupported();
    error AuditUnsupported();
    error RankWindowUnsupported();
    error TokenMismatch();
    error MachineVersionMismatch();
    error RegionRefused();
    error AttributesMissing();
    error MemoryInsufficient();
    error DiskInsufficient();
    error EgressInsufficient();
    /// A price above 2^100, or an escrow, collateral or tip that does not fit 128 bits.
    error PriceOutOfRange();
    /// The expected cost of a task exceeds the bid's cap.
    error PriceAboveCap();
    /// The tasks at their cycle limit do not fit the execution timeout at the offer's speed.
    error TooSlow();
    error CollateralAboveMax();
    error NoFreeSlot();
    /// The provider cancelled a deal of this bid before.
    error ProviderBarred();
    /// The buyer's free balance does not cover the escrow and two tips.
    error BuyerBalanceInsufficient();
    /// The provider's free balance does not cover the collateral.
    error ProviderBalanceInsufficient();
    /// The provider's free coin does not cover the collateral floor.
    error ProviderFloorInsufficient();
    /// The deal whose range is wanted has not failed, or is a deal of another bid.
    error NotReopenable();
    /// A range reopens in a later block than the one in which its deal opened.
    error ReopenTooEarly();

    /// @notice Opens a deal between a bid and an offer for the next `count` tasks of the bid.
    /// Anybody may send it; the bid's tip goes to the sender.
    function open(OpenCall calldata call) external returns (bytes32 dealId);
    /// @notice Opens several deals; a refused item is skipped and its id is zero.
    function openMany(OpenCall[] calldata calls) external returns (bytes32[] memory dealIds);
    /// @notice Opens a deal for the next `count` tasks of the range of a deal that failed, while
    /// the bid is live.
    function reopen(OpenCall calldata call, Deal calldata failed) external returns (bytes32 dealId);

    // ---------------------------------------------------------------- admission

    /// The parties burned these amounts of the deal's token.
    event AdmissionCancelled(
        bytes32 indexed dealId, address indexed by, uint256 burnedByBuyer, uint256 burnedByProvider
    );

    /// The deal is unknown, claimed, failed or settled.
    error DealNotOpen();
    error NotParty();
    error AdmissionOver();

    /// @notice Either side cancels a deal in its admission window (the input cannot be fetched,
    /// say). Both burn an equal fee, a bid at most once; a provider that cancels is barred from
    /// the bid.
    function cancelAdmission(Deal calldata deal) external;

    // ---------------------------------------------------------------- claims

    /// `tasks` as in the claim's calldata: 38 bytes per task.
    event DealClaimed(bytes32 indexed dealId, bytes32 indexed claimHash, Claim claim, bytes tasks);
    event ClaimSkipped(uint256 indexed index, bytes32 indexed dealId, bytes4 reason);

    error NotProvider();
    error DeadlinePassed();
    /// Not 38 bytes for each task of the deal.
    error ClaimLengthMismatch();
    /// A task claims more cycles than the job's limit.
    error CyclesAboveLimit();
    error RelaySignatureInvalid();

    /// @notice The provider claims its deal. `tasks` holds 38 bytes per task: cycles (uint48,
    /// big-endian) and inner hash; halted-state hashes, root and bill follow from them.
    function claim(Deal calldata deal, bytes calldata tasks) external returns (Claim memory);
    /// @notice Several claims of the caller; a refused item is skipped.
    function claimMany(ClaimCall[] calldata calls) external;
    /// @notice A claim sent by anybody with the provider's signature of ClaimRelay. The offer's
    /// tip goes to the sender, out of the provider's free balance as far as that reaches.
    function claimFor(Deal calldata deal, bytes calldata tasks, bytes calldata signature)
        external
        returns (Claim memory);

    // ---------------------------------------------------------------- settlement

    /// The price was released: `paid` by the buyer, of which `fee` went to the fee collector.
    /// `resources` as in Deal.
    event DealPaid(
        bytes32 indexed dealId,
        address indexed buyer,
        address indexed provider,
        address token,
        uint256 resources,
        uint64 cycles,
        uint128 paid,
        uint128 fee
    );
    /// The collateral was released; nothing of the deal is left.
    event DealFinalised(bytes32 indexed dealId);
    /// `toBuyer` and `burned` are parts of the collateral; the escrow went back to the buyer unless
    /// the price had been accepted.
    event DealFailed(
        bytes32 indexed dealId,
        address indexed buyer,
        address indexed provider,
        Failure failure,
        address token,
        uint256 resources,
        uint256 refunded,
        uint256 toBuyer,
        uint256 burned
    );
    event SettlementSkipped(uint256 indexed index, bytes32 indexed dealId, bytes4 reason);

    /// The deal is unknown, unclaimed, failed or settled.
    error DealNotClaimed();
    /// The claim is not the one that was made.
    error ClaimMismatch();
    error AcceptSignatureInvalid();
    error AlreadyAccepted();
    /// The challenge window has not passed.
    error ChallengeWindowOpen();
    /// A game about the claim is open.
    error ChallengeOpen();
    /// A demand for output is open.
    error DemandOpen();
    error DeadlineNotPassed();

    /// @notice Releases the price by the buyer's signature of Accept. Collateral stays locked.
    /// Anybody may send it; the offer's tip goes to a sender that is not the provider.
    function accept(Deal calldata deal, Claim calldata claim, bytes calldata signature) external;
    /// @notice Settles a claim once its challenge window has passed: the price (unless accepted
    /// before) and the collateral are released. Tip as for `accept`.
    function finalise(Deal calldata deal, Claim calldata claim) external;
    /// @notice Accepts and finalises several claims; a refused item is skipped.
    function settleMany(Settlement[] calldata settlements) external;
    /// @notice Fails a deal that was not claimed by its deadline: full refund, half of the
    /// collateral to the buyer, half burned. The bid's second tip goes to the sender.
    function timeout(Deal calldata deal) external;

    // ---------------------------------------------------------------- demands

    event OutputDemanded(bytes32 indexed dealId, LeafIndex[] leaves, uint64 deadline);
    event LeafRevealed(bytes32 indexed dealId, uint32 indexed task, uint64 indexed leaf, bytes32[4] data);
    /// The buyer had signed for this task's output: its leaves need not be revealed.
    event ReceiptShown(bytes32 indexed dealId, uint32 indexed task);
    event DemandAnswered(bytes32 indexed dealId);

    error NotBuyer();
    error ChallengeWindowOver();
    /// No leaf, or more than 64.
    error LeavesOutOfRange();
    /// A task outside the deal, or a leaf beyond the job's output limit.
    error LeafOutOfRange();
    /// There is at most one demand per deal.
    error DemandAlreadyMade();
    error NoDemandOpen();
    error DemandWindowOver();
    error DemandWindowOpen();
    /// The answer is about other leaves than the demand.
    error LeavesMismatch();
    /// A task's opening does not lead to the claim.
    error OpeningInvalid();
    /// A leaf's path does not lead to the output root.
    error LeafInvalid();
    error ReceiptSignatureInvalid();
    /// The demand is about no leaf of this task.
    error TaskNotDemanded();

    /// @notice The buyer demands up to 64 leaves of the deal's outputs, once, within the challenge
    /// window, against a bond in coin. Nothing finalises until the answer; the answer starts the
    /// challenge window again.
    function demandOutput(Deal calldata deal, Claim calldata claim, JobSpec calldata job, LeafIndex[] calldata leaves)
        external;
    /// @notice Reveals the demanded leaves, in the order of the demand. The bond goes back to the
    /// buyer. Anybody may send it.
    function answerDemand(Deal calldata deal, Claim calldata claim, LeafAnswer[] calldata answers) external;
    /// @notice Answers for every demanded leaf of one task by the buyer's signature of Receipt; the
    /// buyer's bond goes to the provider. `leaves` is what is still demanded.
    function answerDemandWithReceipt(
        Deal calldata deal,
        Claim calldata claim,
        LeafIndex[] calldata leaves,
        TaskOpening calldata opening,
        bytes calldata signature
    ) external;
    /// @notice Fails a deal whose demanded output was not revealed in time. Refund and slash as for
    /// `timeout`.
    function demandTimeout(Deal calldata deal, Claim calldata claim) external;
    /// @notice The open demand of a deal: a commitment to its leaves, and the last second at which
    /// an answer is valid.
    function demandOf(bytes32 dealId) external view returns (bytes32 commitment, uint64 deadline, uint8 outputDepth);

    // ---------------------------------------------------------------- challenges

    event DealChallenged(bytes32 indexed dealId);
    event ChallengeResolved(bytes32 indexed dealId, bool stands);

    error NotGame();
    error ChallengeAlreadyOpen();
    error NoChallengeOpen();
    /// The payouts exceed half of the slashed collateral.
    error PayoutTooLarge();

    /// @notice The game marks a claim as challenged, within its window: nothing finalises until
    /// `resolveChallenge`.
    function markChallenged(Deal calldata deal, Claim calldata claim) external;
    /// @notice The game's verdict. A claim that stands goes on as if never challenged. One that
    /// falls fails the deal: the buyer is refunded unless it had accepted, `payouts` (at most half)
    /// come out of the collateral and its floor, and the rest is burned.
    function resolveChallenge(Deal calldata deal, Claim calldata claim, bool stands, Payout[] calldata payouts)
        external;

    // ---------------------------------------------------------------- deployment

    /// A parameter outside its bounds.
    error ParameterOutOfRange();

    /// @notice What the market stores about a deal.
    function dealState(bytes32 dealId) external view returns (DealState memory);
    function parameters() external view returns (Parameters memory);
}
