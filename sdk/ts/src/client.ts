/** One buyer on one network: bids, deposits, waits, checks what comes back, accepts it. */
import type { Signer, TypedDataDomain } from "ethers";

import { unpackOutput } from "./archive.js";
import type { Output } from "./archive.js";
import { buildBid, medianPrice, reservedBy, salts, usualAuditFee } from "./bid.js";
import type { Terms } from "./bid.js";
import type { Hex } from "./bytes.js";
import { Chain } from "./chain.js";
import type { Holdings, LoggedClaim } from "./chain.js";
import { computeClaim, hashClaim } from "./claim.js";
import { OutcryError } from "./errors.js";
import { innerHash, outputRoot } from "./hashes.js";
import type { Outcome } from "./hashes.js";
import type { Job } from "./job.js";
import { bidExposure } from "./money.js";
import type { Network } from "./network.js";
import { Node } from "./node.js";
import type { DealView, Explanation, JobEvent, Quote, TaskResult } from "./node.js";
import { dealId, digest, domainOf, jobHash, typesOf } from "./orders.js";
import type { Bid, Deal, JobSpec, Structures } from "./orders.js";

/** Most times that a result which can't be fetched is asked for again. */
const CHECKS_MAX = 120;
/** Milliseconds before it is. */
const CHECK_AGAIN_MS = 1_000;

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
  /** Base units billed. */
  price: bigint;
  tasks: TaskOutput[];
}

/** A job whose tasks all have a checked result. */
export interface Finished {
  id: Hex;
  /** In the order of the job. */
  tasks: TaskOutput[];
  /** Base units billed. */
  price: bigint;
  cycles: bigint;
}

/**
 * Decides whether a checked claim is right, typically by running its tasks again. This SDK has no
 * engine of its own; `"waive"` is the user's explicit word that nobody checks.
 */
export type Trust = "waive" | ((deal: CheckedDeal, job: JobSpec) => boolean | Promise<boolean>);

/** How {@link Client.run} waits. */
export interface RunOptions {
  trust: Trust;
  /** Milliseconds until the first deal; two minutes by default. */
  matchWithinMs?: number;
  /** Milliseconds in all; one hour by default. */
  timeoutMs?: number;
  /** Ends the waiting. The job goes on; {@link Client.finish} waits for it again. */
  signal?: AbortSignal;
  onEvent?: (event: JobEvent) => void;
}

/** A buyer on a network. Nothing is sent before a method is called. */
export class Client {
  readonly network: Network;
  readonly node: Node;
  readonly chain: Chain;
  readonly #domain: TypedDataDomain;
  readonly #salts = salts();

  /**
   * `signer` signs orders and sends deposits; without one the client can look, but not buy.
   * `apiToken` is for nodes beyond loopback.
   */
  constructor(network: Network, signer?: Signer, apiToken?: string) {
    this.network = network;
    this.node = new Node(network.api, apiToken);
    this.chain = new Chain(network, signer);
    this.#domain = domainOf(network.chainId, network.market);
  }

  /** The account that signs. */
  account(): Promise<string> {
    return this.chain.signer.getAddress();
  }

  /** Checks that node and chain belong to this network; the answer is the node's key, a job's `source`. */
  async check(): Promise<Hex> {
    const [status] = await Promise.all([this.node.status(), this.chain.check()]);
    if (status.chainId !== this.network.chainId || !same(status.market, this.network.market)) {
      throw new OutcryError(
        "X-001",
        `the node serves the market ${status.market} on chain ${status.chainId}, not ${this.network.market} on ${this.network.chainId}`,
        "Check api in network.toml.",
      );
    }
    return status.peerKey;
  }

  /** The bid for a job, not signed yet. */
  async bid(job: Job, terms: Terms = {}): Promise<Bid> {
    const { spec } = job;
    const buyer = await this.account();
    const token = terms.token ?? this.network.tokens[0]?.address;
    if (token === undefined) throw new OutcryError("C-007", "the network names no payment token", "Give terms.token.");
    const [now, counter, priceCap] = await Promise.all([
      this.chain.now(),
      this.chain.counter(buyer),
      terms.maxPrice !== undefined ? terms.maxPrice / BigInt(spec.taskCount) : this.#usualPrice(spec, terms, token),
    ]);
    const auditFee = terms.auditFee ?? (terms.auditRateBps ? usualAuditFee(terms, spec, priceCap, await this.chain.auditors()) : 0n);
    return buildBid(spec, terms, { buyer, token, priceCap, auditFee, now, salt: this.#salts.next().value, counter });
  }

  async #usualPrice(spec: JobSpec, terms: Terms, token: string): Promise<bigint> {
    const offers = (await this.node.offers()).map((entry) => entry.offer).filter((offer) => same(offer.token, token));
    return medianPrice(offers, reservedBy(terms, spec), spec.cycleLimit);
  }

  /** The job's id: what the buyer signs. */
  bidHash(bid: Bid): Hex {
    return digest(this.#domain, "Bid", bid);
  }

  /** The buyer's signature over a bid. */
  signBid(bid: Bid): Promise<Hex> {
    return this.#sign("Bid", bid);
  }

  /** The buyer's signature by which a price is released. {@link accept} gives it only to checked deals. */
  signAccept(deal: Hex, claimHash: Hex): Promise<Hex> {
    return this.#sign("Accept", { dealId: deal, claimHash });
  }

  /** The buyer's signature by which it confirms that it holds a task's output. */
  signReceipt(deal: Hex, task: number, root: Hex): Promise<Hex> {
    return this.#sign("Receipt", { dealId: deal, task, outputRoot: root });
  }

  #sign<Name extends keyof Structures>(name: Name, value: Structures[Name]): Promise<Hex> {
    return this.chain.signer.signTypedData(this.#domain, typesOf(name), value);
  }

  /** What the account holds of a token; the network's first by default. */
  async holdings(token = this.network.tokens[0]?.address, account?: string): Promise<Holdings> {
    if (token === undefined) throw new OutcryError("C-007", "the network names no payment token", "Name one.");
    return this.chain.holdings(account ?? (await this.account()), token);
  }

  /**
   * Base units that must still be deposited before a bid can be served in full, beside what earlier
   * bids of the account may still use.
   */
  async missingDeposit(bid: Bid): Promise<bigint> {
    const needed = bidExposure(bid.priceCap, bid.tasks, bid.tip, bid.auditFee) + (await this.node.committed(bid.buyer, bid.token));
    const missing = needed - (await this.chain.holdings(bid.buyer, bid.token)).market;
    return missing > 0n ? missing : 0n;
  }

  /** Deposits what a bid still needs; the answer is how much that was. */
  async fund(bid: Bid): Promise<bigint> {
    const missing = await this.missingDeposit(bid);
    if (missing > 0n) await this.chain.deposit(bid.token, missing);
    return missing;
  }

  /** What a bid would get now. Nothing is reserved. */
  quote(job: Job, bid: Bid): Promise<Quote> {
    return this.node.quote(bid, job.spec);
  }

  /** Why a bid would or would not be served. */
  explain(job: Job, bid: Bid): Promise<Explanation> {
    return this.node.explain(bid, job.spec);
  }

  /** Cancels a bid on the chain: no further deal opens from it. */
  cancel(bid: Bid): Promise<void> {
    return this.chain.cancelOrder(bid.salt);
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
    return this.finish(await this.submit(job, bid), job.spec, options);
  }

  /** The bid and the job's header that an id stands for, from the node and checked: enough to {@link finish}. */
  async fetchOrder(id: Hex): Promise<{ bid: Bid; job: JobSpec }> {
    const { bid, job } = await this.node.bid(id);
    if (this.bidHash(bid) !== id || jobHash(job) !== bid.jobHash) {
      throw new OutcryError("N-004", `the node's answer is not the bid ${id}`, "Ask another node.");
    }
    return { bid, job };
  }

  /** Waits for a submitted job as {@link run} does, also for one of an earlier process. */
  async finish(id: Hex, job: JobSpec, options: RunOptions): Promise<Finished> {
    const limit = AbortSignal.timeout(options.timeoutMs ?? 3_600_000);
    const unmatched = new AbortController();
    const matchTimer = setTimeout(() => unmatched.abort(), options.matchWithinMs ?? 120_000);
    const signal = AbortSignal.any([limit, unmatched.signal, ...(options.signal ? [options.signal] : [])]);
    const deals = new Map<Hex, CheckedDeal>();
    try {
      for await (const event of this.node.events(id, 0, signal)) {
        options.onEvent?.(event);
        if (event.kind === "dealOpened") clearTimeout(matchTimer);
        if (event.kind === "dealFailed" || event.kind === "dealReplaced") deals.delete(event.dealId);
        if (event.kind !== "dealClaimed" || deals.has(event.dealId)) continue;
        clearTimeout(matchTimer);
        const checked = await this.#checkPatiently(job, event.dealId, signal);
        await this.accept(checked, job, options.trust);
        deals.set(checked.deal, checked);
        const finished = finishedOf(id, job, deals);
        if (finished) return finished;
      }
    } catch (cause) {
      if (!signal.aborted || options.signal?.aborted) throw cause;
      if (limit.aborted) {
        throw new OutcryError("N-003", `the job ${id} did not finish in time`, "It goes on; wait for it again.", { cause });
      }
      const { summary } = await this.node.explainBid(id);
      throw new OutcryError("M-018", `nobody took the job in time: ${summary}`, "The bid stays live; raise its price or cancel it.", { cause });
    } finally {
      clearTimeout(matchTimer);
    }
    const view = await this.node.job(id);
    throw new OutcryError("D-008", `the job ended: ${view.state}`, view.problem?.message ?? "Ask the node to explain it.");
  }

  /**
   * {@link checkDeal}, tried again while node, chain or provider can't be reached: a claim stands for
   * its whole window, and whoever is down may come back.
   */
  async #checkPatiently(job: JobSpec, deal: Hex, signal: AbortSignal): Promise<CheckedDeal> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.checkDeal(job, deal);
      } catch (error) {
        const isPassing = error instanceof OutcryError && /^(N-|X-003|B-002|D-002)/.test(error.code);
        if (!isPassing || signal.aborted || tries >= CHECKS_MAX) throw error;
        await new Promise((resolve) => setTimeout(resolve, CHECK_AGAIN_MS));
      }
    }
  }

  /**
   * Fetches the results of a claimed deal and checks them: terms against the deal's id, results
   * against the claim that the chain logged, outputs against the results. Throws D-004 for
   * whatever is false, D-002 if the chain knows no claim.
   */
  async checkDeal(job: JobSpec, id: Hex): Promise<CheckedDeal> {
    const view = await this.node.deal(id);
    if (dealId(this.#domain, view.terms) !== id) throw falseDeal(id, "its terms have another id");
    if (view.terms.jobHash !== jobHash(job)) throw falseDeal(id, "it belongs to another job");
    const claim = await this.chain.claim(id, view.transactions.find((transaction) => transaction.kind === "claim")?.block);
    if (!claim) throw new OutcryError("D-002", `the chain knows no claim of deal ${id}`, "Wait for it.");
    const computed = computeClaim(view.terms, claim.tasks);
    const claimHash = hashClaim(id, claim);
    if (hashClaim(id, computed) !== claimHash) throw falseDeal(id, "the logged claim does not follow from its tasks");
    const results = await this.node.results(id);
    if (results.length !== claim.tasks.length) throw falseDeal(id, `it has ${results.length} results`);
    const tasks: TaskOutput[] = [];
    for (const [offset, result] of results.entries()) tasks.push(await this.#checkTask(job, id, view, claim, offset, result));
    return { deal: id, terms: view.terms, claimHash, price: claim.price, tasks };
  }

  async #checkTask(job: JobSpec, deal: Hex, view: DealView, claim: LoggedClaim, offset: number, result: TaskResult): Promise<TaskOutput> {
    const claimed = claim.tasks[offset]!;
    const task = view.terms.firstTask + offset;
    const outcome: Outcome = {
      status: result.status,
      exitCode: result.exitCode,
      outputRoot: result.outputRoot,
      outputLength: BigInt(result.outputLength),
    };
    if (result.task !== task || result.cycles !== claimed.cycles || innerHash(outcome) !== claimed.inner) {
      throw falseDeal(deal, `the result of task ${task} is not the claimed one`);
    }
    const archive =
      result.outputLength === 0 ? new Uint8Array() : await this.node.blob(result.blake3, result.outputLength, view.peerKey);
    if (archive.length !== result.outputLength || outputRoot(archive, job.outputLimit) !== result.outputRoot) {
      throw falseDeal(deal, `the output of task ${task} is not the claimed one`);
    }
    return { ...unpackOutput(archive), task, deal, outcome, cycles: result.cycles };
  }

  /** Releases the price of a checked deal if `trust` allows it, else throws D-007. The node delivers the signature. */
  async accept(checked: CheckedDeal, job: JobSpec, trust: Trust): Promise<void> {
    if (trust !== "waive" && (await trust(checked, job)) !== true) {
      throw new OutcryError("D-007", `the result of deal ${checked.deal} is not believed`, "Nothing was accepted; it can be challenged.");
    }
    await this.node.accept(checked.deal, await this.signAccept(checked.deal, checked.claimHash));
  }

  /** Confirms that the buyer holds a task's output, so that the provider need never reveal it again. */
  async giveReceipt(output: TaskOutput): Promise<void> {
    const root = output.outcome.outputRoot;
    await this.node.receipt(output.deal, output.task, root, await this.signReceipt(output.deal, output.task, root));
  }
}

function falseDeal(deal: Hex, reason: string): OutcryError {
  return new OutcryError("D-004", `what the node tells of deal ${deal} is false: ${reason}`, "Do not accept it; ask another node.");
}

/** The finished job, once every task is in a checked deal. */
function finishedOf(id: Hex, job: JobSpec, deals: ReadonlyMap<Hex, CheckedDeal>): Finished | undefined {
  const list = [...deals.values()];
  const tasks = [...new Map(list.flatMap((deal) => deal.tasks).map((output) => [output.task, output])).values()];
  if (tasks.length !== job.taskCount) return undefined;
  return {
    id,
    tasks: tasks.sort((a, b) => a.task - b.task),
    price: list.reduce((sum, deal) => sum + deal.price, 0n),
    cycles: tasks.reduce((sum, output) => sum + output.cycles, 0n),
  };
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
