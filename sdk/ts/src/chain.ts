/**
 * What a buyer does on the chain itself: deposits, withdrawals, cancellations, and reading what a
 * node's answers are checked against. Everything else is sent by nodes.
 */
import { Contract, Interface, JsonRpcApiProvider, JsonRpcProvider, Signature, TypedDataEncoder, ZeroAddress, isCallException, isError } from "ethers";
import type { Provider, Signer, TypedDataDomain } from "ethers";

import type { Hex } from "./bytes.js";
import { decodeClaimedTasks } from "./claim.js";
import type { Claim, ClaimedTask } from "./claim.js";
import { OutcryError } from "./errors.js";
import type { Network } from "./network.js";

/**
 * The part of the market that a buyer needs, from `contracts/src/interfaces`. A test compares it
 * with `contracts/artifacts/Market.json`.
 */
export const MARKET_ABI = [
  "function deposit(address token, uint256 amount)",
  "function depositNative() payable",
  "function depositWithAuthorization(address token, address from, uint256 amount, uint256 validAfter, uint256 validBefore, bytes32 bidHash, bytes signature)",
  "function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)",
  "function requestWithdrawal(address token, uint256 amount)",
  "function withdraw(address token)",
  "function cancelOrder(uint256 salt)",
  "function cancelAll()",
  "function balanceOf(address account, address token) view returns (uint256)",
  "function pendingWithdrawal(address account, address token) view returns (uint256 amount, uint64 readyAt)",
  "function counterOf(address account) view returns (uint64)",
  "function parameters() view returns (tuple(address game, address audits, address feeCollector, uint32 admissionWindow, uint32 challengeWindow, uint32 demandWindow, uint32 withdrawalDelay, uint128 collateralFloor, uint128 demandBond, uint16 admissionFeeBps, uint16 feeBps))",
  "event DealClaimed(bytes32 indexed dealId, tuple(bytes32 resultRoot, uint64 cycles, uint128 price) claim, bytes tasks)",
  "error AmountZero()",
  "error AmountTooLarge()",
  "error TokenIsNative()",
  "error TokenNotContract()",
  "error TokenTakesFee()",
  "error TokenRebased()",
  "error BalanceInsufficient()",
  "error NothingPending()",
  "error WithdrawalTooEarly()",
  "error NativeTransferFailed()",
] as const;
const MARKET = new Interface(MARKET_ABI);
/** The part of the audits that a buyer needs; compared with `contracts/artifacts/Audits.json`. */
export const AUDITS_ABI = [
  "function parameters() view returns (tuple(address market, address game, address stake, uint32 beaconPeriod, uint8 auditors, uint32 commitTime, uint32 inclusionDelay, uint64 interpreterSpeed, uint128 stakePerAudit, uint128 silencePenalty))",
] as const;
const AUDITS = new Interface(AUDITS_ABI);

/** ERC-20 with what EIP-2612 adds. */
const ERC20_ABI = [
  "function balanceOf(address account) view returns (uint256)",
  "function allowance(address owner, address spender) view returns (uint256)",
  "function approve(address spender, uint256 amount) returns (bool)",
  "function name() view returns (string)",
  "function nonces(address owner) view returns (uint256)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
];
function fields(...list: string[]): { type: string; name: string }[] {
  return list.map((field) => {
    const [type, name] = field.split(" ");
    return { type: type!, name: name! };
  });
}
/** EIP-2612. */
const PERMIT_TYPE = {
  Permit: fields("address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"),
};
/** ERC-3009, as the payee uses it. */
const RECEIVE_TYPE = {
  ReceiveWithAuthorization: fields(
    "address from", "address to", "uint256 value", "uint256 validAfter", "uint256 validBefore", "bytes32 nonce",
  ),
};
/** Seconds that a permit stays valid: some blocks, and no more. */
const PERMIT_LIFE_S = 600;
/** Blocks by which a claim may have moved since a node saw it. */
const REORG_BLOCKS = 256;
/** Milliseconds between two looks for a receipt. */
const POLLING_MS = 500;

/** What an account holds of one token, base units. */
export interface Holdings {
  wallet: bigint;
  /** On the market, and held by no deal. */
  market: bigint;
  /** Asked back from the market. */
  withdrawing: bigint;
  /** Unix seconds from which that can be taken; 0 if nothing was asked. */
  withdrawableAt: number;
}

/**
 * An owner's word that the market may take an amount of a token from its wallet, once, and credit it to
 * the owner. Whoever holds it can send it; nobody can turn it to anything else.
 */
export interface DepositAuthorization {
  token: string;
  from: string;
  /** Base units. */
  amount: bigint;
  /** Unix seconds. */
  validBefore: number;
  /** The bid that it funds, and the nonce: one bid is funded once. */
  bid: Hex;
  /** 65 bytes. */
  signature: Hex;
}

/** A claim as the market logged it. */
export interface LoggedClaim extends Claim {
  tasks: ClaimedTask[];
}

/** The chain's endpoint and the market on it. */
export class Chain {
  readonly #network: Network;
  readonly #provider: Provider;
  readonly #signer: Signer | undefined;

  /** `signer` is needed for whatever signs or sends. Its provider, if it has one, is used to read. */
  constructor(network: Network, signer?: Signer) {
    this.#network = network;
    this.#provider =
      signer?.provider ??
      new JsonRpcProvider(network.rpc, network.chainId, { staticNetwork: true, cacheTimeout: -1, pollingInterval: POLLING_MS });
    this.#signer = signer && (signer.provider ? signer : signer.connect(this.#provider));
  }

  /** The signer. Throws C-005 if there is none. */
  get signer(): Signer {
    if (!this.#signer) throw new OutcryError("C-005", "this needs a signature", "Give the client a signer.");
    return this.#signer;
  }

  /** Checks that this is the network's chain and that the market is there. */
  async check(): Promise<void> {
    const { chainId, market } = this.#network;
    const found = await this.#read("its id", async () =>
      // A provider for a fixed network does not ask.
      this.#provider instanceof JsonRpcApiProvider
        ? BigInt(await this.#provider.send("eth_chainId", []))
        : (await this.#provider.getNetwork()).chainId,
    );
    if (found !== BigInt(chainId)) {
      throw new OutcryError("X-001", `the chain's id is ${found}, the network's ${chainId}`, "Check rpc and chain_id in network.toml.");
    }
    const code = await this.#read("the market's code", () => this.#provider.getCode(market));
    if (code === "0x") throw new OutcryError("X-002", `there is no contract at ${market}`, "Check market in network.toml.");
  }

  /** Unix seconds of the newest block. */
  async now(): Promise<number> {
    const block = await this.#read("its newest block", () => this.#provider.getBlock("latest"));
    if (!block) throw new OutcryError("X-007", "the chain has no block", "Check rpc in network.toml.");
    return block.timestamp;
  }

  /** The counter that an account's orders must carry. */
  counter(account: string): Promise<bigint> {
    return this.#view(this.#network.market, MARKET, "counterOf", account);
  }

  /** Auditors of a deal that is drawn, fixed by the deployment. */
  async auditors(): Promise<number> {
    const { audits } = await this.#view<{ audits: string }>(this.#network.market, MARKET, "parameters");
    return Number((await this.#view<{ auditors: bigint }>(audits, AUDITS, "parameters")).auditors);
  }

  /** What an account holds. The zero address as `token` is the chain's own coin. */
  async holdings(account: string, token: string): Promise<Holdings> {
    const { market } = this.#network;
    const [wallet, free, pending] = await Promise.all([
      this.#wallet(account, token),
      this.#view<bigint>(market, MARKET, "balanceOf", account, token),
      this.#view<[bigint, bigint]>(market, MARKET, "pendingWithdrawal", account, token),
    ]);
    return { wallet, market: free, withdrawing: pending[0], withdrawableAt: Number(pending[1]) };
  }

  /**
   * The claim that was made for a deal, from the market's log; `undefined` if there is none.
   * `block` is where somebody says that it was made: a place to begin, not a fact.
   */
  async claim(deal: Hex, block = 0): Promise<LoggedClaim | undefined> {
    const logs = await this.#read("a claim's log", () =>
      this.#provider.getLogs({
        address: this.#network.market,
        topics: MARKET.encodeFilterTopics("DealClaimed", [deal]),
        fromBlock: Math.max(0, block - REORG_BLOCKS),
      }),
    );
    // A deal is claimed at most once.
    const log = logs.at(-1);
    if (!log) return undefined;
    const { claim, tasks } = MARKET.decodeEventLog("DealClaimed", log.data, log.topics);
    return { resultRoot: claim.resultRoot, cycles: claim.cycles, price: claim.price, tasks: decodeClaimedTasks(tasks) };
  }

  /**
   * Moves an amount from the wallet to the market: in one transaction with a permit where the token
   * has them, else with an approval first.
   */
  async deposit(token: string, amount: bigint): Promise<void> {
    const { market } = this.#network;
    const account = await this.signer.getAddress();
    const wallet = await this.#wallet(account, token);
    if (wallet < amount) {
      throw new OutcryError("F-009", `the wallet holds ${wallet} of ${amount} base units`, "Send the token to the account first.");
    }
    if (token === ZeroAddress) return this.#send("deposit", market, MARKET, "depositNative", [], amount);
    const permit = await this.#permit(account, token, amount);
    if (permit) return this.#send("deposit", market, MARKET, "depositWithPermit", [token, amount, ...permit]);
    const allowance: bigint = await this.#view(token, ERC20_ABI, "allowance", account, market);
    if (allowance < amount) await this.#send("approve the deposit", token, ERC20_ABI, "approve", [market, amount]);
    return this.#send("deposit", market, MARKET, "deposit", [token, amount]);
  }

  /**
   * Signs that the market may take an amount for a bid, once, within `lifeS` seconds (ERC-3009). Sends
   * nothing: the account needs no coin for gas, because anybody can send {@link depositAuthorised}.
   */
  async authoriseDeposit(token: string, amount: bigint, bid: Hex, lifeS = PERMIT_LIFE_S): Promise<DepositAuthorization> {
    const from = await this.signer.getAddress();
    const wallet = await this.#wallet(from, token);
    if (wallet < amount) {
      throw new OutcryError("F-009", `the wallet holds ${wallet} of ${amount} base units`, "Send the token to the account first.");
    }
    const domain = await this.#domain(token);
    if (!domain) throw new OutcryError("C-007", `the signing domain of the token ${token} is not known`, "Use deposit().");
    const validBefore = (await this.now()) + lifeS;
    const message = { from, to: this.#network.market, value: amount, validAfter: 0n, validBefore, nonce: bid };
    const signature = (await this.signer.signTypedData(domain, RECEIVE_TYPE, message)) as Hex;
    return { token, from, amount, validBefore, bid, signature };
  }

  /** Makes an authorised deposit; the sender need not be its owner. */
  depositAuthorised(authorisation: DepositAuthorization): Promise<void> {
    const { token, from, amount, validBefore, bid, signature } = authorisation;
    const args = [token, from, amount, 0n, validBefore, bid, signature];
    return this.#send("deposit", this.#network.market, MARKET, "depositWithAuthorization", args);
  }

  /** Asks tokens back from the market; after its delay {@link withdraw} takes them. Zero takes the request back. */
  requestWithdrawal(token: string, amount: bigint): Promise<void> {
    return this.#send("ask for a withdrawal", this.#network.market, MARKET, "requestWithdrawal", [token, amount]);
  }

  /** Takes what was asked for. */
  withdraw(token: string): Promise<void> {
    return this.#send("withdraw", this.#network.market, MARKET, "withdraw", [token]);
  }

  /** Cancels the account's order with this salt: no further deal opens from it. */
  cancelOrder(salt: bigint): Promise<void> {
    return this.#send("cancel the order", this.#network.market, MARKET, "cancelOrder", [salt]);
  }

  /** Cancels every order that the account has signed so far. */
  cancelAll(): Promise<void> {
    return this.#send("cancel all orders", this.#network.market, MARKET, "cancelAll", []);
  }

  #wallet(account: string, token: string): Promise<bigint> {
    if (token === ZeroAddress) return this.#read("a balance", () => this.#provider.getBalance(account));
    return this.#view(token, ERC20_ABI, "balanceOf", account);
  }

  /**
   * The domain under which a token's own messages are signed, if it is the usual one: its name and
   * version "1", or "2" as of the stablecoins that were upgraded.
   */
  async #domain(token: string): Promise<TypedDataDomain | undefined> {
    const erc20 = new Contract(token, ERC20_ABI, this.#provider);
    const asked = await Promise.all(["name", "DOMAIN_SEPARATOR"].map((field) => erc20.getFunction(field).staticCall())).catch(() => undefined);
    if (!asked) return undefined;
    const [name, separator] = asked;
    return ["1", "2"]
      .map((version) => ({ name, version, chainId: this.#network.chainId, verifyingContract: token }))
      .find((domain) => TypedDataEncoder.hashDomain(domain) === separator);
  }

  /**
   * Deadline and signature of a permit, if the token has them under a domain that is known here:
   * otherwise the signature would not be valid, and an approval does the same.
   */
  async #permit(account: string, token: string, amount: bigint): Promise<[bigint, number, Hex, Hex] | undefined> {
    const domain = await this.#domain(token);
    if (!domain) return undefined;
    const erc20 = new Contract(token, ERC20_ABI, this.#provider);
    const nonce = await erc20.getFunction("nonces").staticCall(account).catch(() => undefined);
    if (nonce === undefined) return undefined;
    const deadline = BigInt((await this.now()) + PERMIT_LIFE_S);
    const permit = { owner: account, spender: this.#network.market, value: amount, nonce, deadline };
    const { v, r, s } = Signature.from(await this.signer.signTypedData(domain, PERMIT_TYPE, permit));
    return [deadline, v, r, s];
  }

  #view<T>(at: string, abi: Interface | string[], name: string, ...args: unknown[]): Promise<T> {
    return this.#read(name, () => new Contract(at, abi, this.#provider).getFunction(name).staticCall(...args));
  }

  async #read<T>(what: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      throw new OutcryError("X-003", `the chain at ${this.#network.rpc} does not tell ${what}: ${reasonOf(cause)}`, "Check rpc in network.toml.", { cause });
    }
  }

  /** Tries a call, which tells why it would fail before anything is sent; then sends it and waits. */
  async #send(what: string, to: string, abi: Interface | string[], name: string, args: unknown[], value = 0n): Promise<void> {
    const method = new Contract(to, abi, this.signer).getFunction(name);
    try {
      await method.staticCall(...args, { value });
      await (await method.send(...args, { value })).wait();
    } catch (cause) {
      const reason = reasonOf(cause);
      throw new OutcryError(codeOf(cause, reason), `the chain refuses to ${what}: ${reason}`, helpOf(reason), { cause });
    }
  }
}

function reasonOf(error: unknown): string {
  if (isCallException(error)) return error.revert?.name ?? error.reason ?? error.shortMessage;
  return error instanceof Error ? ((error as { shortMessage?: string }).shortMessage ?? error.message) : String(error);
}

/** The registry's code of a refused transaction. */
function codeOf(error: unknown, reason: string): string {
  if (isError(error, "INSUFFICIENT_FUNDS")) return "F-007";
  if (isError(error, "NETWORK_ERROR") || isError(error, "TIMEOUT") || isError(error, "SERVER_ERROR")) return "X-003";
  return REFUSALS[reason]?.[0] ?? "X-004";
}

function helpOf(reason: string): string {
  return REFUSALS[reason]?.[1] ?? "Nothing was changed; look the contract's reason up in contracts/src/interfaces.";
}

/** Contract errors that have a code of their own for a client, and what to do. */
const REFUSALS: Record<string, readonly [code: string, help: string] | undefined> = {
  TokenTakesFee: ["F-002", "Pay with a token that moves whole amounts."],
  TokenRebased: ["F-003", "Pay with a token whose balances only transfers change."],
  BalanceInsufficient: ["F-001", "Deposit first, or ask for less."],
  NothingPending: ["F-005", "Ask for a withdrawal first."],
  WithdrawalTooEarly: ["F-004", "Wait until the withdrawal's delay has passed."],
  AmountZero: ["F-006", "Give an amount above zero."],
  AmountTooLarge: ["F-006", "Give a smaller amount."],
};
