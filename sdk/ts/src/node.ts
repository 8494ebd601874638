/** A node's HTTP API, typed as `sdk/rust/src/api.rs` defines it. */
import { blake3, concat } from "./bytes.js";
import type { Hex } from "./bytes.js";
import { OutcryError } from "./errors.js";
import type { Status } from "./hashes.js";
import { fromJson, toJson } from "./orders.js";
import type { Bid, Deal, JobSpec, Offer } from "./orders.js";

/** States of a job, and whether nothing can change any more. Vectors: `lifecycle.json`. */
export const JOB_STATES = {
  open: false,
  matched: false,
  funded: false,
  starting: false,
  running: false,
  interrupted: false,
  verifying: false,
  challenged: false,
  settled: true,
  failed: true,
  cancelled: true,
  expired: true,
} as const;
export type JobState = keyof typeof JOB_STATES;

/** Whether nothing can change any more. */
export function isTerminal(state: JobState): boolean {
  return JOB_STATES[state];
}

/** Where a deal stands. */
export type DealState = "open" | "claimed" | "accepted" | "challenged" | "settled" | "timedOut" | "replaced" | "cancelled" | "slashed";

/** What went wrong, in the node's words. */
export interface Problem {
  code: string;
  message: string;
  help: string;
}

/** What a node says of itself. */
export interface NodeStatus {
  chainId: number;
  market: string;
  machineVersion: number;
  block: { number: number; hash: Hex; timestamp: number };
  /** Of the last block at which the node was in step with the chain. */
  epoch?: EpochDigest | null;
  /** Into how many shards the network divides its gossip. */
  shardCount: number;
  /** Those that the node takes part in, as `0-3,8`: what it says of book and market is about their orders. */
  shards: string;
  peerKey: Hex;
  peers: number;
  roles: string[];
  version: string;
}

/**
 * What a node had in its book and matched at a block. Nodes that knew the same orders have the same digests, if
 * they take part in the same shards.
 */
export interface EpochDigest {
  block: { number: number; hash: Hex; timestamp: number };
  /** The shards whose orders both digests are about, as `0-3,8`. */
  shards: string;
  bookDigest: Hex;
  matchDigest: Hex;
  matches: number;
}

/** What the deals of an interval paid. Prices are base units per 10^18 cycles. */
export interface Candle {
  /** Unix seconds of its beginning. */
  start: number;
  open: bigint;
  high: bigint;
  low: bigint;
  close: bigint;
  deals: number;
  cycles: bigint;
  /** Base units. */
  paid: bigint;
}

/** Which prices to ask for. Times are Unix seconds; what is absent is the node's default. */
export type HistoryQuery = {
  token?: string;
  region?: number;
  class?: string;
  /** 60, 300, 900, 3600, 14400 or 86400. */
  intervalS?: number;
  since?: number;
  until?: number;
  limit?: number;
};

/** What settled deals paid, as of a block: the same on every node that stands on it. */
export interface PriceHistory {
  block: { number: number; hash: Hex; timestamp: number };
  token: string;
  region?: number | null;
  class?: string | null;
  intervalS: number;
  since: number;
  until: number;
  /** Intervals with deals, ascending. */
  candles: Candle[];
  /** `since` of the next page, if there is one. */
  next?: number | null;
  /** Deals of the market since its deployment, in all tokens, and the digest that names all of them. */
  deals: number;
  digest: Hex;
}

/** Which value to ask for. Times are Unix seconds; what is absent is the node's default. */
export type ValueQuery = {
  token?: string;
  region?: number;
  class?: string;
  since?: number;
  until?: number;
  /** Measured cycles per second of a machine's slot: asks what the machine would have earned. */
  speed?: bigint;
  /** Its slots. */
  slots?: number;
  /** MiB of memory of each. */
  memoryMib?: number;
};

/** What deals paid for what. */
export interface Worth {
  /** Nothing for all. */
  region?: number | null;
  /** Nothing for all. */
  class?: string | null;
  deals: number;
  cycles: bigint;
  /** Seconds for which slots were held. */
  heldS: bigint;
  /** Base units. */
  paid: bigint;
  /** Base units per 10^18 cycles: all that was paid over all cycles. */
  cyclePrice?: bigint | null;
  /** 10^-9 base units per GiB-hour: all that was paid over all memory held. */
  gibHourPrice?: bigint | null;
}

/** What a machine would have earned. */
export interface MachineEarnings {
  /** What deals that fit it paid, base units per 10^18 cycles. */
  cyclePrice: bigint;
  /** Base units, had all its slots run deals all the time. */
  fullyBooked: bigint;
  /** Base units at the market's utilisation. */
  asUsed?: bigint | null;
}

/** What cycles and memory were worth in a window of whole hours, and what a machine would have earned. */
export interface MarketValue {
  block: { number: number; hash: Hex; timestamp: number };
  token: string;
  since: number;
  until: number;
  /** Of all deals that were asked for. */
  total: Worth;
  /** The same by region and class. */
  series: Worth[];
  /** Slots that are on offer at this node now, and the share of their time that deals held, basis points. */
  slotsOffered: number;
  utilisationBps?: number | null;
  /** If a machine was asked about, and deals that fit it were settled. */
  machine?: MachineEarnings | null;
  /** Deals of the market since its deployment, in all tokens, and the digest that names all of them. */
  deals: number;
  digest: Hex;
}

/** A claim as the node read it from the chain. */
export interface ClaimView {
  claimHash: Hex;
  resultRoot: Hex;
  cycles: bigint;
  price: bigint;
  claimedAt: number;
  finalisableAt: number;
  tasks: { task: number; cycles: bigint; inner: Hex }[];
}

/** A range of a job's tasks at one provider. */
export interface DealView {
  dealId: Hex;
  state: DealState;
  /** Key of the provider's node. */
  peerKey: Hex;
  terms: Deal;
  /** How far the provider says it is; nobody verifies it. */
  progress?: { running: boolean; tasksDone: number; cycles: bigint };
  claim?: ClaimView;
  /** Base units. */
  paid: bigint;
  refunded: bigint;
  transactions: { kind: string; hash: Hex; block: number; gasUsed?: number }[];
}

/** A bid and everything that came of it. */
export interface JobView {
  id: Hex;
  state: JobState;
  tasks: number;
  tasksOpen: number;
  tasksClaimed: number;
  tasksSettled: number;
  price: bigint;
  deals: DealView[];
  problem?: Problem;
}

/** The result of one task. Not yet trusted: `Client` checks it. */
export interface TaskResult {
  task: number;
  status: Status;
  exitCode: number;
  cycles: bigint;
  outputRoot: Hex;
  outputLength: number;
  blake3: string;
}

/** What happened to a job. Amounts are base units. */
export type JobEventKind =
  | { kind: "submitted" | "ended" }
  | { kind: "matched"; offerHash: Hex; tasks: number }
  | { kind: "dealOpened"; dealId: Hex; provider: string; firstTask: number; taskCount: number; deadline: number }
  /** What the provider says; nobody verifies it. */
  | { kind: "progress"; dealId: Hex; tasksDone: number; cycles: number }
  | { kind: "dealClaimed"; dealId: Hex; claimHash: Hex; cycles: string; price: string }
  | { kind: "dealAccepted" | "dealSettled"; dealId: Hex; paid: string }
  | { kind: "dealReplaced"; dealId: Hex; by: Hex }
  | { kind: "dealFailed"; dealId: Hex; dealState: DealState; refunded: string }
  | { kind: "challenged"; dealId: Hex };

/** One event of a job's life: its number, Unix seconds, the state after it, and what happened. */
export type JobEvent = { seq: number; time: number; state: JobState } & JobEventKind;

/** Why a bid is or is not served. */
export interface Explanation {
  offers: number;
  acceptable: number;
  /** One sentence, for people. */
  summary: string;
  /** What is wrong with the bid itself, whatever the offers are. */
  bidProblem?: Problem;
  /** Per constraint, how many live offers fail it. */
  failures: { code: string; field: string; offers: number; message: string }[];
  cheapestChange?: { field: string; from: string; to: string; offerHash: Hex; message: string };
}

/** What a bid would get now. Amounts are base units; nothing is reserved. */
export interface Quote {
  fills: {
    offerHash: Hex;
    provider: string;
    peerKey: Hex;
    tasks: number;
    expectedCost: bigint;
    escrow: bigint;
    collateral: bigint;
    expectedS: number;
  }[];
  /** Tasks that no offer could take now. */
  tasksUnplaced: number;
  expectedCost: bigint;
  /** Most that the fills can cost. */
  escrow: bigint;
  /** Balance that the buyer must have on the market: escrow, tips and audit fees. */
  balanceNeeded: bigint;
  /** Seconds until the last fill is expected to end. */
  expectedS: number;
  /** Whether returning a false result would pay at the bid's audit rate, and from what share of checked deals on it does not. */
  cheating: { pays: boolean; gain: bigint; loss: bigint; breakEvenBps: number };
}

/** A live offer of the book. */
export interface BookOffer {
  hash: Hex;
  offer: Offer;
  slotsFree: number;
}

type Json = Record<string, unknown>;

/** Most bytes of a JSON answer: the book of a busy market fits many times. */
const ANSWER_BYTES_MAX = 256 << 20;
/** Most bytes of a refusal. */
const REFUSAL_BYTES_MAX = 64 << 10;
/** Connections in a row that an event stream may fail before it gives up. */
const RECONNECTS_MAX = 10;

/** A client of one node. */
export class Node {
  readonly url: string;
  readonly #token: string | undefined;

  /** `token` is the bearer token that nodes beyond loopback ask for. */
  constructor(url: string, token?: string) {
    this.url = url.replace(/\/+$/, "");
    this.#token = token;
  }

  async status(): Promise<NodeStatus> {
    return (await this.#json("GET", "/v1/status")) as unknown as NodeStatus;
  }

  /** Stores a blob and returns its name, which is checked. */
  async putBlob(bytes: Uint8Array): Promise<string> {
    const wanted = blake3(bytes);
    const stored = await this.#json("POST", "/v1/blobs", bytes);
    if (stored["blake3"] !== wanted) throw wrongBlob(wanted, String(stored["blake3"]));
    return wanted;
  }

  async hasBlob(name: string): Promise<boolean> {
    return (await this.#fetch("HEAD", `/v1/blobs/${name}`)).ok;
  }

  /** Fetches a blob of at most `limit` bytes; `from` is the key of a peer that has it. */
  async blob(name: string, limit: number, from?: Hex): Promise<Uint8Array> {
    const query = from === undefined ? "" : `?from=${from}`;
    const response = await this.#checked("GET", `/v1/blobs/${name}${query}`);
    const bytes = await readBody(response, limit);
    if (!bytes) throw new OutcryError("B-003", `the blob ${name} is longer than ${limit} bytes`, "Ask another node.");
    const found = blake3(bytes);
    if (found !== name) throw wrongBlob(name, found);
    return bytes;
  }

  /** Submits a signed bid; the answer is the job's id. */
  async submitBid(bid: Bid, signature: Hex, job: JobSpec): Promise<Hex> {
    const body = { bid: toJson("Bid", bid), signature, job: toJson("JobSpec", job) };
    return String((await this.#json("POST", "/v1/bids", body))["bidHash"]);
  }

  /** The bid with this hash and its job. Not yet trusted: `Client.fetchOrder` checks them. */
  async bid(hash: Hex): Promise<{ bid: Bid; job: JobSpec }> {
    const order = await this.#json("GET", `/v1/orders/${hash}`);
    if (order["kind"] !== "bid") throw new OutcryError("N-004", `${hash} is no bid`, "Give the id of a job.");
    return { bid: fromJson("Bid", order["bid"]), job: fromJson("JobSpec", order["job"]) };
  }

  async job(id: Hex): Promise<JobView> {
    return readJob(await this.#json("GET", `/v1/jobs/${id}`));
  }

  /** Jobs that the node knows, newest first. */
  async jobs(query: { buyer?: string; state?: JobState; limit?: number } = {}): Promise<JobView[]> {
    const wanted = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
    return ((await this.#json("GET", `/v1/jobs?${wanted}`)) as unknown as Json[]).map(readJob);
  }

  async deal(id: Hex): Promise<DealView> {
    return readDeal(await this.#json("GET", `/v1/deals/${id}`));
  }

  /** The results of a claimed deal. Not yet trusted: `Client.checkDeal` checks them. */
  async results(deal: Hex): Promise<TaskResult[]> {
    const list = (await this.#json("GET", `/v1/deals/${deal}/results`)) as unknown as Json[];
    return list.map((item) => ({ ...(item as unknown as TaskResult), cycles: BigInt(item["cycles"] as number) }));
  }

  async accept(deal: Hex, signature: Hex): Promise<void> {
    await this.#json("POST", `/v1/deals/${deal}/accept`, { signature });
  }

  async receipt(deal: Hex, task: number, outputRoot: Hex, signature: Hex): Promise<void> {
    await this.#json("POST", `/v1/deals/${deal}/receipts`, { task, outputRoot, signature });
  }

  /** Base units of a token that an account's live bids may still use. */
  async committed(account: string, token: string): Promise<bigint> {
    const { balances } = (await this.#json("GET", `/v1/accounts/${account}`)) as unknown as {
      balances: { token: { address: string }; committed: string }[];
    };
    const balance = balances.find((entry) => entry.token.address.toLowerCase() === token.toLowerCase());
    return BigInt(balance?.committed ?? 0);
  }

  /** The live offers that the node knows. */
  async offers(): Promise<BookOffer[]> {
    const { offers } = (await this.#json("GET", "/v1/book")) as unknown as { offers: Json[] };
    return offers.map((entry) => ({
      hash: String(entry["hash"]),
      offer: fromJson("Offer", entry["offer"]),
      slotsFree: Number(entry["slotsFree"]),
    }));
  }

  /** Prices that settled deals paid, interval by interval, oldest first. */
  async history(query: HistoryQuery = {}): Promise<PriceHistory> {
    const history = await this.#json("GET", `/v1/market/history?${parameters(query)}`);
    return { ...(history as unknown as PriceHistory), candles: (history["candles"] as Json[]).map(readCandle) };
  }

  /** What cycles and memory were worth, and what a machine would have earned. */
  async value(query: ValueQuery = {}): Promise<MarketValue> {
    const value = await this.#json("GET", `/v1/market/value?${parameters(query)}`);
    const machine = value["machine"] as Json | null;
    return {
      ...(value as unknown as MarketValue),
      total: readWorth(value["total"] as Json),
      series: (value["series"] as Json[]).map(readWorth),
      machine: machine && {
        cyclePrice: BigInt(machine["cyclePrice"] as string),
        fullyBooked: BigInt(machine["fullyBooked"] as string),
        asUsed: readAmount(machine["asUsed"]),
      },
    };
  }

  /** What the node had in its book and matched at the last blocks, from a block on, oldest first. */
  async epochs(since = 0): Promise<EpochDigest[]> {
    return (await this.#json("GET", `/v1/market/epochs?since=${since}`)) as unknown as EpochDigest[];
  }

  /** Why a submitted bid is or is not served. */
  async explainBid(bid: Hex): Promise<Explanation> {
    return (await this.#json("GET", `/v1/explain/${bid}`)) as unknown as Explanation;
  }

  /** Why a bid that is not submitted yet would or would not be served. */
  async explain(bid: Bid, job: JobSpec): Promise<Explanation> {
    const body = { bid: toJson("Bid", bid), job: toJson("JobSpec", job) };
    return (await this.#json("POST", "/v1/explain", body)) as unknown as Explanation;
  }

  /** What a bid would get now. */
  async quote(bid: Bid, job: JobSpec): Promise<Quote> {
    const body = { bid: toJson("Bid", bid), job: toJson("JobSpec", job) };
    return readQuote((await this.#json("POST", "/v1/quote", body)) as unknown as Quote);
  }

  /**
   * The events of a job after number `after`, in order, none missing and none twice, also when the
   * connection breaks. Ends after the event `ended`.
   */
  async *events(id: Hex, after = 0, signal?: AbortSignal): AsyncGenerator<JobEvent, void, void> {
    let last = after;
    for (let failures = 0; ; ) {
      try {
        const headers = { accept: "text/event-stream", "last-event-id": String(last) };
        const response = await this.#checked("GET", `/v1/jobs/${id}/events`, undefined, headers, signal);
        for await (const data of eventData(response)) {
          const event = JSON.parse(data) as JobEvent;
          if (event.seq <= last) continue;
          last = event.seq;
          failures = 0;
          yield event;
          if (event.kind === "ended") return;
        }
      } catch (error) {
        // A refusal will be the same the next time; a broken connection may not.
        if (signal?.aborted || (error instanceof OutcryError && error.code !== "N-001")) throw error;
        if (failures >= RECONNECTS_MAX) throw error;
      }
      failures += 1;
      if (failures > RECONNECTS_MAX) throw new OutcryError("N-001", `the events of ${id} break off`, "Check the node.");
      await new Promise((resolve) => setTimeout(resolve, Math.min(5_000, 100 * 2 ** failures)));
    }
  }

  async #json(method: string, path: string, body?: unknown): Promise<Json> {
    const response = await this.#checked(method, path, body);
    const answer = await readJson(response, ANSWER_BYTES_MAX);
    if (!answer) throw new OutcryError("N-004", `${this.url}${path} did not answer in JSON`, "Check the address.");
    return answer;
  }

  async #checked(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const response = await this.#fetch(method, path, body, headers, signal);
    if (response.ok) return response;
    const said = ((await readJson(response, REFUSAL_BYTES_MAX)) ?? {}) as Partial<Problem>;
    throw new OutcryError(
      said.code ?? "N-004",
      said.message ?? `${this.url}${path} answered with HTTP status ${response.status}`,
      said.help ?? "Check that the address is that of an Outcry node.",
    );
  }

  async #fetch(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const isBytes = body instanceof Uint8Array;
    const all: Record<string, string> = { ...headers };
    if (body !== undefined) all["content-type"] = isBytes ? "application/octet-stream" : "application/json";
    if (this.#token !== undefined) all["authorization"] = `Bearer ${this.#token}`;
    const request: RequestInit = { method, headers: all };
    if (body !== undefined) request.body = isBytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body);
    if (signal !== undefined) request.signal = signal;
    try {
      return await fetch(`${this.url}${path}`, request);
    } catch (cause) {
      throw new OutcryError("N-001", `no answer from the node at ${this.url}`, "Check its address and that it runs.", { cause });
    }
  }
}

function wrongBlob(wanted: string, found: string): OutcryError {
  return new OutcryError("B-001", `the blob ${wanted} came with other content, ${found}`, "Ask another node.");
}

/** The body, or `undefined` if it has more than `limit` bytes. */
async function readBody(response: Response, limit: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of chunks(response)) {
    length += part.length;
    if (length > limit) return undefined;
    parts.push(part);
  }
  return concat(parts);
}

/** The body as a JSON object or list, or `undefined` if it is none or too long. */
async function readJson(response: Response, limit: number): Promise<Json | undefined> {
  const body = await readBody(response, limit);
  try {
    const value: unknown = body && JSON.parse(new TextDecoder().decode(body));
    return typeof value === "object" && value !== null ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

async function* chunks(response: Response): AsyncGenerator<Uint8Array, void, void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** The `data` of server-sent events, however the bytes are cut. Exported for its test. */
export async function* eventData(response: Response): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let [rest, data]: [string, string[]] = ["", []];
  for await (const chunk of chunks(response)) {
    rest += decoder.decode(chunk, { stream: true });
    for (let end = rest.search(/\r\n|\r(?!$)|\n/); end >= 0; end = rest.search(/\r\n|\r(?!$)|\n/)) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + (rest.startsWith("\r\n", end) ? 2 : 1));
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) {
        data.push(line.slice(5).replace(/^ /, ""));
      }
    }
    if (rest.length > 1 << 20) throw new OutcryError("N-004", "an event without end", "Ask another node.");
  }
}

function readJob(json: Json): JobView {
  const deals = (json["deals"] as Json[]).map(readDeal);
  return { ...(json as unknown as JobView), price: BigInt(json["price"] as string), deals };
}

function readDeal(json: Json): DealView {
  const claim = json["claim"] as Json | undefined;
  const progress = json["progress"] as Json | undefined;
  const { claim: _, progress: __, ...rest } = json;
  return {
    ...(rest as unknown as DealView),
    terms: fromJson("Deal", json["terms"]),
    paid: BigInt(json["paid"] as string),
    refunded: BigInt(json["refunded"] as string),
    ...(progress && {
      progress: {
        running: Boolean(progress["running"]),
        tasksDone: Number(progress["tasksDone"]),
        cycles: BigInt(progress["cycles"] as string),
      },
    }),
    ...(claim && {
      claim: {
        ...(claim as unknown as ClaimView),
        cycles: BigInt(claim["cycles"] as string),
        price: BigInt(claim["price"] as string),
        tasks: (claim["tasks"] as Json[]).map((task) => ({
          task: Number(task["task"]),
          cycles: BigInt(task["cycles"] as number),
          inner: String(task["inner"]),
        })),
      },
    }),
  };
}

/** Amounts come as decimal strings. */
/** What was asked for, and nothing else. */
function parameters(query: HistoryQuery | ValueQuery): URLSearchParams {
  return new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
}

/** An amount that may be missing. */
function readAmount(value: unknown): bigint | null {
  return value == null ? null : BigInt(value as string);
}

function readWorth(json: Json): Worth {
  return {
    ...(json as unknown as Worth),
    cycles: BigInt(json["cycles"] as string),
    heldS: BigInt(json["heldS"] as string),
    paid: BigInt(json["paid"] as string),
    cyclePrice: readAmount(json["cyclePrice"]),
    gibHourPrice: readAmount(json["gibHourPrice"]),
  };
}

function readCandle(json: Json): Candle {
  const amount = (name: string): bigint => BigInt(json[name] as string);
  return {
    start: Number(json["start"]),
    open: amount("open"),
    high: amount("high"),
    low: amount("low"),
    close: amount("close"),
    deals: Number(json["deals"]),
    cycles: amount("cycles"),
    paid: amount("paid"),
  };
}

function readQuote(json: Quote): Quote {
  const fills = json.fills.map((fill) => ({
    ...fill,
    expectedCost: BigInt(fill.expectedCost),
    escrow: BigInt(fill.escrow),
    collateral: BigInt(fill.collateral),
  }));
  return {
    ...json,
    fills,
    expectedCost: BigInt(json.expectedCost),
    escrow: BigInt(json.escrow),
    balanceNeeded: BigInt(json.balanceNeeded),
    cheating: { ...json.cheating, gain: BigInt(json.cheating.gain), loss: BigInt(json.cheating.loss) },
  };
}
