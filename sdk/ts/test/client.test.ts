// What a client believes, and what not: a node and a chain of this file tell it the truth, or lie.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { Interface, Wallet, ZeroHash, hexlify, toBeHex } from "ethers";

import * as sdk from "../src/index.js";
import type { CheckedDeal, Deal, Hex, Network, Outcome, TaskResult, Trust } from "../src/index.js";

const buyer = Wallet.createRandom();
const MARKET = "0x1111111111111111111111111111111111111111";
const CHAIN_ID = 31337;
const domain = sdk.domainOf(CHAIN_ID, MARKET);
const abi = new Interface(sdk.MARKET_ABI);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const decoded = (content: Uint8Array | undefined): string => new TextDecoder().decode(content);

const job = sdk.buildJob({ program: { wasm: bytes("program"), imageRoot: ZeroHash }, args: ["p"], tasks: 2 }, ZeroHash);
const deal: Deal = {
  bidHash: ZeroHash,
  offerHash: ZeroHash,
  jobHash: sdk.jobHash(job.spec),
  buyer: buyer.address,
  provider: MARKET,
  token: MARKET,
  capacityId: ZeroHash,
  cell: 0,
  firstTask: 0,
  taskCount: 2,
  cycleLimit: job.spec.cycleLimit,
  startFee: 10n,
  unitPrice: 10n ** 18n,
  priceCap: 10n ** 9n,
  escrow: 2n * 10n ** 9n,
  collateral: 0n,
  buyerTip: 0n,
  providerTip: 0n,
  openedAt: 1n,
  deadline: 2n,
  bidSalt: 0n,
  resources: 0n,
};

/** Everything that node and chain would tell of one deal, before a test changes it. */
function world() {
  const archives = [0, 1].map((task) =>
    sdk.pack(new Map([["stdout", bytes(`task ${task}`)], ["stderr", new Uint8Array()], ["out/r.txt", bytes("r")]])),
  );
  const blobs = new Map(archives.map((archive) => [sdk.blake3(archive), archive]));
  const results: TaskResult[] = archives.map((archive, task) => ({
    task,
    status: "exited",
    exitCode: 0,
    cycles: BigInt(100 + task),
    outputRoot: sdk.outputRoot(archive, job.spec.outputLimit),
    outputLength: archive.length,
    blake3: sdk.blake3(archive),
  }));
  const claimed = results.map((result) => ({
    cycles: result.cycles,
    inner: sdk.innerHash({ ...result, outputLength: BigInt(result.outputLength) } as Outcome),
  }));
  return {
    terms: deal,
    id: undefined as Hex | undefined,
    results,
    blobs,
    claimed: claimed as typeof claimed | undefined,
    claim: sdk.computeClaim(deal, claimed),
    chainId: CHAIN_ID,
    code: "0x60",
    nodeMarket: MARKET,
    events: ["dealOpened", "dealClaimed", "ended"],
    told: [] as { path: string; body: any }[],
  };
}
type World = ReturnType<typeof world>;

const idOf = (at: World): Hex => at.id ?? sdk.dealId(domain, at.terms);

/** What the chain answers. */
function chainSays(at: World, method: string): unknown {
  if (method === "eth_chainId") return toBeHex(at.chainId);
  if (method === "eth_getCode") return at.code;
  if (method !== "eth_getLogs") throw new Error(method);
  if (!at.claimed) return [];
  const calldata = hexlify(Uint8Array.from(at.claimed.flatMap(({ cycles, inner }) => [...Buffer.from(toBeHex(cycles, 6).slice(2) + inner.slice(2), "hex")])));
  const { data, topics } = abi.encodeEventLog("DealClaimed", [idOf(at), at.claim, calldata]);
  const place = { blockNumber: "0x1", blockHash: ZeroHash, transactionHash: ZeroHash, transactionIndex: "0x0", logIndex: "0x0" };
  return [{ address: MARKET, data, topics, removed: false, ...place }];
}

/** What the node answers. */
function nodeSays(at: World, path: string): unknown {
  if (path === "/v1/status") return { chainId: CHAIN_ID, market: at.nodeMarket, peerKey: ZeroHash };
  if (path.endsWith("/results")) return at.results.map((result) => ({ ...result, cycles: Number(result.cycles) }));
  if (path.endsWith("/accept") || path.endsWith("/receipts")) return { dealId: idOf(at) };
  if (path.startsWith("/v1/explain/")) return { summary: "no offer is cheap enough" };
  if (path.startsWith("/v1/jobs/")) return { state: "failed", price: "0", deals: [] };
  if (path.startsWith("/v1/deals/")) {
    return { dealId: idOf(at), state: "claimed", peerKey: ZeroHash, terms: sdk.toJson("Deal", at.terms), paid: "0", refunded: "0", transactions: [] };
  }
  throw new Error(path);
}

async function beside(at: World, body: (client: sdk.Client) => Promise<void>): Promise<void> {
  const server = createServer(async (request, response) => {
    const path = request.url!.split("?")[0]!;
    const sent = await text(request);
    if (path === "/rpc") {
      const { id, method } = JSON.parse(sent);
      response.end(JSON.stringify({ jsonrpc: "2.0", id, result: chainSays(at, method) }));
    } else if (path.startsWith("/v1/blobs/")) {
      const blob = at.blobs.get(path.slice("/v1/blobs/".length));
      if (blob) response.end(blob);
      else response.writeHead(404).end(JSON.stringify({ code: "B-003", message: "gone", help: "" }));
    } else if (path.endsWith("/events")) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const [index, kind] of at.events.entries()) {
        response.write(`id: ${index + 1}\ndata: ${JSON.stringify({ seq: index + 1, time: 0, state: "open", kind, dealId: idOf(at) })}\n\n`);
      }
    } else {
      if (request.method === "POST") at.told.push({ path, body: JSON.parse(sent) });
      response.end(JSON.stringify(nodeSays(at, path)));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const network: Network = { chainId: CHAIN_ID, rpc: `${url}/rpc`, api: url, market: MARKET, stake: MARKET, token: MARKET, tokens: [] };
  try {
    await body(new sdk.Client(network, buyer));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("a claimed deal is checked, and the acceptance is the buyer's signature over the chain's claim", async () => {
  const at = world();
  await beside(at, async (client) => {
    const seen: CheckedDeal[] = [];
    const trust: Trust = (checked, spec) => seen.push(checked) === 1 && spec === job.spec;
    const finished = await client.finish(ZeroHash, job.spec, { trust });
    assert.deepEqual(finished.tasks.map((task) => decoded(task.stdout)), ["task 0", "task 1"]);
    assert.equal(decoded(finished.tasks[1]?.files.get("r.txt")), "r");
    assert.deepEqual([finished.price, finished.cycles], [2n * 10n + 201n, 201n]);
    assert.equal(seen.length, 1);

    const [accept] = at.told;
    const dealId = sdk.dealId(domain, deal);
    assert.equal(accept?.path, `/v1/deals/${dealId}/accept`);
    const digest = sdk.digest(domain, "Accept", { dealId, claimHash: sdk.hashClaim(dealId, at.claim) });
    assert.equal(sdk.recoverSigner(digest, accept.body.signature), buyer.address);

    await client.giveReceipt(finished.tasks[1]!);
    const { task, outputRoot, signature } = at.told[1]!.body;
    assert.deepEqual([task, outputRoot], [1, at.results[1]!.outputRoot]);
    assert.equal(sdk.recoverSigner(sdk.digest(domain, "Receipt", { dealId, task, outputRoot }), signature), buyer.address);
  });
});

const lies: [string, string, (at: World) => void][] = [
  ["terms that are not the deal's", "D-004", (at) => ((at.id = sdk.dealId(domain, deal)), (at.terms = { ...deal, priceCap: deal.priceCap + 1n }))],
  [
    "a deal about another job",
    "D-004",
    (at) => {
      at.terms = { ...deal, jobHash: ZeroHash };
      at.claim = sdk.computeClaim(at.terms, at.claimed!);
    },
  ],
  ["a result under another task's number", "D-004", (at) => (at.results[0]!.task = 1)],
  ["a claim that the chain does not know", "D-002", (at) => (at.claimed = undefined)],
  ["a bill that does not follow from the cycles", "D-004", (at) => (at.claim = { ...at.claim, price: at.claim.price + 1n })],
  ["more tasks in the claim than in the deal", "D-004", (at) => at.claimed!.push(at.claimed![0]!)],
  ["another exit code", "D-004", (at) => (at.results[0]!.exitCode = 1)],
  ["another status", "D-004", (at) => (at.results[0]!.status = "trapped")],
  ["other cycles", "D-004", (at) => (at.results[0]!.cycles += 1n)],
  ["results in another order", "D-004", (at) => at.results.reverse()],
  ["a result too few", "D-004", (at) => at.results.pop()],
  ["another task's output", "D-004", (at) => (at.results[0]!.blake3 = at.results[1]!.blake3)],
  ["an output with another content", "B-001", (at) => at.blobs.set(at.results[0]!.blake3, at.blobs.get(at.results[1]!.blake3)!)],
  ["an output that is longer", "B-003", (at) => at.blobs.set(at.results[0]!.blake3, new Uint8Array(1 << 16))],
  [
    "an output that is no archive",
    "P-011",
    (at) => {
      const blob = bytes("no archive");
      at.blobs.set(sdk.blake3(blob), blob);
      Object.assign(at.results[0]!, { blake3: sdk.blake3(blob), outputLength: blob.length, outputRoot: sdk.outputRoot(blob, job.spec.outputLimit) });
      const inner = sdk.innerHash({ ...at.results[0]!, outputLength: BigInt(blob.length) } as Outcome);
      at.claimed![0] = { cycles: at.results[0]!.cycles, inner };
      at.claim = sdk.computeClaim(deal, at.claimed!);
    },
  ],
];
for (const [lie, code, tell] of lies) {
  test(`${lie}: refused, and nothing is accepted`, async () => {
    const at = world();
    tell(at);
    await beside(at, async (client) => {
      await assert.rejects(client.checkDeal(job.spec, idOf(at)), { code });
      assert.deepEqual(at.told, []);
    });
  });
}

test("a result that the caller does not believe is not accepted", async () => {
  for (const trust of [() => false, async () => false, (() => "yes") as unknown as Trust]) {
    const at = world();
    await beside(at, async (client) => {
      await assert.rejects(client.finish(ZeroHash, job.spec, { trust }), { code: "D-007" });
      assert.deepEqual(at.told, []);
    });
  }
});

test("node and chain of another network are noticed", async () => {
  const changes: [(at: World) => void, string | undefined][] = [
    [() => undefined, undefined],
    [(at) => (at.nodeMarket = buyer.address), "X-001"],
    [(at) => (at.chainId = 1), "X-001"],
    [(at) => (at.code = "0x"), "X-002"],
  ];
  for (const [change, code] of changes) {
    const at = world();
    change(at);
    await beside(at, async (client) => {
      if (code) await assert.rejects(client.check(), { code });
      else assert.equal(await client.check(), ZeroHash);
    });
  }
});

test("a job that nobody takes, one that ends and one that takes too long are told apart", async () => {
  const at = world();
  const finish = (options: { matchWithinMs?: number; timeoutMs?: number }) =>
    beside(at, async (client) => void (await client.finish(ZeroHash, job.spec, { trust: "waive", ...options })));
  at.events = ["submitted"];
  await assert.rejects(finish({ matchWithinMs: 1 }), (error: sdk.OutcryError) => error.code === "M-018" && /cheap enough/.test(error.message));
  await assert.rejects(finish({ timeoutMs: 1 }), { code: "N-003" });
  at.events = ["dealOpened", "dealFailed", "ended"];
  await assert.rejects(finish({}), { code: "D-008" });
});

test("without a signer a client can look, but signs nothing", async () => {
  await beside(world(), async ({ network }) => {
    const client = new sdk.Client(network);
    await client.check();
    assert.throws(() => client.signAccept(ZeroHash, ZeroHash), { code: "C-005" });
  });
});
