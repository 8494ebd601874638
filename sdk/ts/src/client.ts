/** One buyer on one network: bids, deposits, waits, checks what comes back, accepts it. */
import { Contract, Interface, JsonRpcProvider, MaxUint256, TypedDataEncoder, hexlify, randomBytes } from "ethers";
import type { ContractRunner, Provider, Signer, TransactionReceipt, TypedDataDomain } from "ethers";

import { unpackOutput } from "./archive.js";
import type { Output } from "./archive.js";
import type { Hex } from "./bytes.js";
import { bidExposure, computeClaim, hashClaim, taskPrice, unitPrice } from "./claim.js";
import type { Claim } from "./claim.js";
import { OutcryError } from "./errors.js";
import { innerHash, outputRoot } from "./hashes.js";
import type { Outcome } from "./hashes.js";
import type { Job } from "./job.js";
import type { Network } from "./network.js";
import { Node } from "./node.js";
import type { JobEvent } from "./node.js";
import { dealId, digest, domainOf, jobHash, typesOf } from "./orders.js";
import type { Bid, Deal, Offer } from "./orders.js";

/** The market's functions that a buyer calls; `contracts/src/interfaces/IMarket.sol`. */
const MARKET_ABI = [
  "function deposit(address token, uint256 amount)",
  "function depositNative() payable",
  "function requestWithdrawal(address token, uint256 amount)",
  "function withdraw(address token)",
  "function balanceOf(address account, address token) view returns (uint256)",
  "function counterOf(address account) view returns (uint64)",
  "function cancelOrder(uint256 salt)",
  "function cancelAll()",
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
];
const MARKET = new Interface(MARKET_ABI);
const ERC20_ABI = [
  "function balanceOf(address) view returns (uint256)",
  "function allowance(address, address) view returns (uint256)",
  "function approve(address, uint256) returns (bool)",
];
const NATIVE = "0x0000000000000000000000000000000000000000";
/** Cycles per second that a default execution timeout allows for. */
const SLOW_SPEED = 250_000_000n;
/** Most seconds for which a result that can't be fetched is asked for again. */
const CHECKS_MAX = 120;
/** Highest price of the protocol. */
const PRICE_MAX = 1n << 100n;

/** What a buyer offers and asks for; every field has a default. Amounts are base units. */
export interface Terms {
  /** Payment token; the network's first by default. */
  token?: string;
  /** Most that the whole job may cost; by default what half of the live offers charge at the limit. */
  maxPrice?: bigint;
  /** Expected cycles of one task; a tenth of the limit by default. */
  cyclesExpected?: bigint;
  /** MiB of memory that a task reserves; what its page limit needs by default. */
  memoryMib?: number;
  diskMib?: number;
  egressMib?: number;
  /** Base units per second of expected completion. */
  valueOfTime?: bigint;
  /** Bit r set: region r is acceptable. All by default. */
  regions?: bigint;
  attributes?: bigint;
  /** Collateral in basis points of the escrow; 40000 by default. */
  collateralBps?: number;
  /** Seconds to fetch and start; 120 by default. */
  queueTimeoutS?: number;
  /** Seconds to execute a deal; the cycle limit at 250 million cycles a second by default. */
  executionTimeoutS?: number;
  /** Seconds that the bid stays valid; 3600 by default. */
  lifeS?: number;
  tip?: bigint;
}

/** What one task gave, checked against the chain. */
export interface TaskOutput extends Output {
  task: number;
  deal: Hex;
  outcome: Outcome;
  cycles: bigint;
}

/** A deal whose claim was checked against the chain, and its outputs against the claim. */
export interface CheckedDeal {
  deal: Hex;
  terms: Deal;
  claimHash: Hex;
  price: bigint;
  tasks: TaskOutput[];
}

/** A job whose tasks all have a checked result. */
export interface Finished {
  id: Hex;
  tasks: TaskOutput[];
  price: bigint;
  cycles: bigint;
}

/**
 * Decides whether a checked claim may be accepted, typically by running its tasks again. This SDK
 * has no engine of its own; `"waive"` is the user's explicit word that nobody checks.
 */
export type Trust = "waive" | ((deal: CheckedDeal, job: Job) => Promise<boolean>);

/** How {@link Client.run} waits. */
export interface RunOptions {
  trust: Trust;
  /** Milliseconds in all; one hour by default. */
  timeoutMs?: number;
  onEvent?: (event: JobEvent) => void;
}

/** A buyer on a network. */
export class Client {
  readonly network: Network;
  readonly node: Node;
  readonly #signer: Signer;
  readonly #provider: Provider;
  readonly #domain: TypedDataDomain;
  /** Salts run on from a random start, so that orders share words of the account's bitmap. */
  #salt: bigint = (BigInt(hexlify(randomBytes(28))) << 32n) - 1n;

  /** `signer` signs orders and sends deposits; `apiToken` is for nodes beyond loopback. */
  constructor(network: Network, signer: Signer, apiToken?: string) {
    this.network = network;
    this.node = new Node(network.api, apiToken);
    this.#provider = signer.provider ?? new JsonRpcProvider(network.rpc, network.chainId, { staticNetwork: true });
    this.#signer = signer.provider ? signer : signer.connect(this.#provider);
    this.#domain = domainOf(network.chainId, network.market);
  }

  /** The account that signs. */
  account(): Promise<string> {
    return this.#signer.getAddress();
  }

  /** Checks that node and chain belong to this network; the answer is the node's key. */
  async check(): Promise<Hex> {
    const status = await this.node.status();
    const { chainId } = await this.#provider.getNetwork();
    const same = status.chainId === this.network.chainId && BigInt(this.network.chainId) === chainId;
    if (!same || status.market.toLowerCase() !== this.network.market.toLowerCase()) {
      throw new OutcryError("X-001", "the node or the chain belongs to another network", "Check network.toml.");
    }
    return status.peerKey;
  }

  /** The bid for a job, not signed yet. */
  async bid(job: Job, terms: Terms = {}): Promise<Bid> {
    const buyer = await this.account();
    const token = terms.token ?? this.network.tokens[0]?.address;
    if (token === undefined) throw new OutcryError("C-007", "the network names no payment token", "Give terms.token.");
    const { spec } = job;
    const resources = {
      memoryMib: terms.memoryMib ?? Math.ceil(spec.pageLimit / 16),
      diskMib: terms.diskMib ?? 0,
      gpuClass: 0,
      gpuCount: 0,
      egressMib: terms.egressMib ?? 0,
    };
    const block = await this.#provider.getBlock("latest");
    if (!block) throw new OutcryError("X-003", "the chain has no block", "Check rpc in network.toml.");
    const priceCap =
      terms.maxPrice !== undefined
        ? terms.maxPrice / BigInt(spec.taskCount)
        : medianPrice(
            (await this.node.offers()).map((entry) => entry.offer).filter((offer) => same(offer.token, token)),
            (offer) =>
              taskPrice({ startFee: offer.startFee, unitPrice: unitPrice(offer, resources), priceCap: PRICE_MAX }, spec.cycleLimit),
          );
    const seconds = (spec.cycleLimit + SLOW_SPEED - 1n) / SLOW_SPEED;
    const expected = terms.cyclesExpected ?? spec.cycleLimit / 10n;
    this.#salt += 1n;
    return {
      buyer,
      token,
      jobHash: jobHash(spec),
      tasks: spec.taskCount,
      cyclesExpected: expected > 0n ? expected : 1n,
      resources,
      priceCap,
      valueOfTime: terms.valueOfTime ?? 0n,
      regions: terms.regions ?? MaxUint256,
      attributes: terms.attributes ?? 0n,
      roundTripMsMax: 0,
      roundTripPlace: `0x${"0".repeat(64)}`,
      auditRateBps: 0,
      auditFee: 0n,
      collateralBps: terms.collateralBps ?? 40_000,
      replicas: 1,
      queueTimeout: terms.queueTimeoutS ?? 120,
      executionTimeout: terms.executionTimeoutS ?? Math.min(Math.max(Number(seconds), 60), 30 * 86_400),
      rankWindow: 0,
      tip: terms.tip ?? 0n,
      expiry: BigInt(block.timestamp + (terms.lifeS ?? 3_600)),
      salt: this.#salt,
      counter: await this.#market().getFunction("counterOf").staticCall(buyer),
    };
  }

  /** The job's id: what the buyer signs. */
  bidHash(bid: Bid): Hex {
    return digest(this.#domain, "Bid", bid);
  }

  /** The buyer's signature over a bid. */
  signBid(bid: Bid): Promise<Hex> {
    return this.#signer.signTypedData(this.#domain, typesOf("Bid"), bid);
  }

  /** The buyer's signature by which a price is released. */
  signAccept(deal: Hex, claimHash: Hex): Promise<Hex> {
    return this.#signer.signTypedData(this.#domain, typesOf("Accept"), { dealId: deal, claimHash });
  }

  /** The buyer's signature by which it confirms that it holds a task's output. */
  signReceipt(deal: Hex, task: number, root: Hex): Promise<Hex> {
    return this.#signer.signTypedData(this.#domain, typesOf("Receipt"), { dealId: deal, task, outputRoot: root });
  }

  /** Free balance on the market. */
  async balance(token: string, account?: string): Promise<bigint> {
    return this.#market().getFunction("balanceOf").staticCall(account ?? (await this.account()), token);
  }

  /**
   * Base units that must still be deposited before a bid can be served in full, beside what earlier
   * bids of the account may still use.
   */
  async missingDeposit(bid: Bid): Promise<bigint> {
    const needed = bidExposure(bid.priceCap, bid.tasks, bid.tip) + (await this.node.committed(bid.buyer, bid.token));
    const missing = needed - (await this.balance(bid.token, bid.buyer));
    return missing > 0n ? missing : 0n;
  }

  /** Moves tokens from the wallet to the market, approving them first where that is needed. */
  async deposit(token: string, amount: bigint): Promise<void> {
    const market = this.#market(this.#signer);
    if (token === NATIVE) {
      await this.#send("deposit", () => market.getFunction("depositNative").send({ value: amount }));
      return;
    }
    const erc20 = new Contract(token, ERC20_ABI, this.#signer);
    const account = await this.account();
    const wallet: bigint = await erc20.getFunction("balanceOf").staticCall(account);
    if (wallet < amount) {
      throw new OutcryError("F-009", `the wallet holds ${wallet} of ${amount} base units`, "Send the token to the account first.");
    }
    const allowance: bigint = await erc20.getFunction("allowance").staticCall(account, this.network.market);
    if (allowance < amount) {
      await this.#send("approve the deposit", () => erc20.getFunction("approve").send(this.network.market, amount));
    }
    await this.#send("deposit", () => market.getFunction("deposit").send(token, amount));
  }

  /** Asks tokens back; after the market's delay {@link withdraw} takes them. */
  async requestWithdrawal(token: string, amount: bigint): Promise<void> {
    await this.#send("ask for a withdrawal", () => this.#market(this.#signer).getFunction("requestWithdrawal").send(token, amount));
  }

  /** Takes what was asked for. */
  async withdraw(token: string): Promise<void> {
    await this.#send("withdraw", () => this.#market(this.#signer).getFunction("withdraw").send(token));
  }

  /** Cancels a bid: no further deal opens from it. */
  async cancel(bid: Bid): Promise<void> {
    await this.#send("cancel the bid", () => this.#market(this.#signer).getFunction("cancelOrder").send(bid.salt));
  }

  /** Signs the bid, stores the job's blobs on the node and submits it; the answer is the job's id. */
  async submit(job: Job, bid: Bid): Promise<Hex> {
    const id = this.bidHash(bid);
    const signature = await this.signBid(bid);
    for (const blob of job.blobs) {
      if (!(await this.node.hasBlob(blob.blake3))) await this.node.putBlob(blob.bytes);
    }
    const answered = await this.node.submitBid(bid, signature, job.spec);
    if (answered !== id) throw new OutcryError("N-004", `the node took the bid for ${answered}, it is ${id}`, "Ask another node.");
    return id;
  }

  /** Submits the bid and stays until every task has a result that was checked and accepted. */
  async run(job: Job, bid: Bid, options: RunOptions): Promise<Finished> {
    return this.finish(await this.submit(job, bid), job, options);
  }

  /** Waits for a submitted job as {@link run} does. */
  async finish(id: Hex, job: Job, options: RunOptions): Promise<Finished> {
    const limit = AbortSignal.timeout(options.timeoutMs ?? 3_600_000);
    const deals = new Map<Hex, CheckedDeal>();
    const tasks = new Map<number, TaskOutput>();
    try {
      for await (const event of this.node.events(id, 0, limit)) {
        options.onEvent?.(event);
        if (event.kind !== "dealClaimed" || event.dealId === undefined || deals.has(event.dealId)) continue;
        const checked = await this.#checkPatiently(job, event.dealId, limit);
        await this.accept(checked, job, options.trust);
        deals.set(checked.deal, checked);
        for (const output of checked.tasks) tasks.set(output.task, output);
        if (tasks.size === job.spec.taskCount) {
          const ordered = [...tasks.values()].sort((a, b) => a.task - b.task);
          return {
            id,
            tasks: ordered,
            price: [...deals.values()].reduce((sum, deal) => sum + deal.price, 0n),
            cycles: ordered.reduce((sum, output) => sum + output.cycles, 0n),
          };
        }
      }
    } catch (cause) {
      if (!limit.aborted) throw cause;
      throw new OutcryError("N-003", `the job ${id} did not finish in time`, "It goes on; wait for it again.", { cause });
    }
    const view = await this.node.job(id);
    throw new OutcryError("D-008", `the job ended: ${view.state}`, view.problem?.message ?? "Ask the node to explain it.");
  }

  /**
   * {@link checkDeal}, tried again while node, chain or provider can't be reached: a claim stands for
   * its whole window, and whoever is down may come back.
   */
  async #checkPatiently(job: Job, deal: Hex, limit: AbortSignal): Promise<CheckedDeal> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.checkDeal(job, deal);
      } catch (error) {
        const isPassing = !(error instanceof OutcryError) || /^(N-|B-002|D-002)/.test(error.code);
        if (!isPassing || limit.aborted || tries >= CHECKS_MAX) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
    }
  }

  /**
   * Fetches the results of a claimed deal and checks them: terms against the deal's id, claim against
   * the chain, outputs against the claim.
   */
  async checkDeal(job: Job, id: Hex): Promise<CheckedDeal> {
    const wrong = (reason: string): OutcryError =>
      new OutcryError("D-004", `what the node tells of deal ${id} is false: ${reason}`, "Do not accept it; ask another node.");
    const view = await this.node.deal(id);
    if (dealId(this.#domain, view.terms) !== id) throw wrong("its terms have another id");
    if (view.terms.jobHash !== jobHash(job.spec)) throw wrong("it belongs to another job");
    const unclaimed = (): OutcryError => new OutcryError("D-002", `the chain knows no claim of deal ${id}`, "Wait for it.");
    if (!view.claim) throw unclaimed();
    const claim = computeClaim(view.terms, view.claim.tasks);
    const claimHash = hashClaim(id, claim);
    const topics = MARKET.encodeFilterTopics("DealClaimed", [id]);
    const logs = await this.#provider.getLogs({ address: this.network.market, topics, fromBlock: 0 });
    const log = logs[logs.length - 1];
    if (!log) throw unclaimed();
    const claimed: Claim = MARKET.parseLog(log)?.args["claim"];
    if (hashClaim(id, claimed) !== claimHash) throw wrong("the chain knows another claim");
    const results = await this.node.results(id);
    if (results.length !== view.terms.taskCount) throw wrong(`it has ${results.length} results`);
    const tasks: TaskOutput[] = [];
    for (const [offset, result] of results.entries()) {
      const claimed = view.claim.tasks[offset]!;
      const outcome: Outcome = {
        status: result.status,
        exitCode: result.exitCode,
        outputRoot: result.outputRoot,
        outputLength: BigInt(result.outputLength),
      };
      const isClaimed =
        result.task === view.terms.firstTask + offset && result.cycles === claimed.cycles && innerHash(outcome) === claimed.inner;
      if (!isClaimed) throw wrong(`the result of task ${result.task} is not the claimed one`);
      const archive =
        result.outputLength === 0 ? new Uint8Array() : await this.node.blob(result.blake3, result.outputLength, view.peerKey);
      const isOutput = archive.length === result.outputLength && outputRoot(archive, job.spec.outputLimit) === result.outputRoot;
      if (!isOutput) throw wrong(`the output of task ${result.task} is not the claimed one`);
      tasks.push({ ...unpackOutput(archive), task: result.task, deal: id, outcome, cycles: result.cycles });
    }
    return { deal: id, terms: view.terms, claimHash, price: claim.price, tasks };
  }

  /** Releases the price of a checked deal if `trust` allows it. The node delivers the signature. */
  async accept(checked: CheckedDeal, job: Job, trust: Trust): Promise<void> {
    if (trust !== "waive" && !(await trust(checked, job))) {
      throw new OutcryError("D-007", `the result of deal ${checked.deal} is not believed`, "Nothing was accepted; it can be challenged.");
    }
    await this.node.accept(checked.deal, await this.signAccept(checked.deal, checked.claimHash));
  }

  /** The EIP-712 domain separator, to compare with the market's. */
  domainSeparator(): Hex {
    return TypedDataEncoder.hashDomain(this.#domain);
  }

  #market(runner: ContractRunner = this.#provider): Contract {
    return new Contract(this.network.market, MARKET, runner);
  }

  async #send(what: string, send: () => Promise<{ wait(): Promise<TransactionReceipt | null> }>): Promise<void> {
    try {
      await (await send()).wait();
    } catch (cause) {
      const revert = (cause as { revert?: { name?: string } }).revert?.name;
      const reason = revert ?? (cause instanceof Error ? cause.message : String(cause));
      throw new OutcryError(codeOf(revert), `the chain refuses to ${what}: ${reason}`, "Nothing was changed.", { cause });
    }
  }
}

/** The registry's code of a contract's error. */
function codeOf(error: string | undefined): string {
  switch (error) {
    case "TokenTakesFee":
      return "F-002";
    case "TokenRebased":
      return "F-003";
    case "BalanceInsufficient":
      return "F-001";
    case "NothingPending":
      return "F-005";
    case "WithdrawalTooEarly":
      return "F-004";
    case "AmountZero":
    case "AmountTooLarge":
      return "F-006";
    default:
      return "X-004";
  }
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** What half of the offers charge at most. */
function medianPrice(offers: Offer[], price: (offer: Offer) => bigint): bigint {
  const prices = offers.map(price).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const middle = prices[Math.floor((prices.length - 1) / 2)];
  if (middle === undefined) throw new OutcryError("M-017", "there are no live offers", "Give terms.maxPrice, or wait for providers.");
  return middle;
}
