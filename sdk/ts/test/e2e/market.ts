// Jobs on a running network: OUTCRY_NETWORK names its network.toml (`outcry-testnet with -- npm run
// test:e2e` sets it), OUTCRY_BIN the `outcry` binary that links programs and runs them again.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Contract, Wallet, ZeroAddress, keccak256 } from "ethers";

import { connect, linkProgram } from "../../src/folder.js";
import { Client, buildJob, innerHash, isTerminal, jobHash } from "../../src/index.js";
import type { CheckedDeal, Hex, JobEvent } from "../../src/index.js";

const repository = fileURLToPath(new URL("../../../../../", import.meta.url));
const outcry = resolve(process.env["OUTCRY_BIN"] ?? join(repository, "target/release/outcry"));
assert.ok(process.env["OUTCRY_NETWORK"], "set OUTCRY_NETWORK to the network.toml of a running network");
const networkFile = resolve(process.env["OUTCRY_NETWORK"]);
const programFile = join(repository, "testnet/programs/ends.wasm");

const client = await connect(networkFile);
const program = await linkProgram(programFile, outcry);
const limits = { cycles: 100_000_000n, memoryMib: 64 };
const token = client.network.tokens[0]!.address;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Believes tasks that came to what `outcry machine run` comes to here: result and cycles. */
function again(...args: string[]): (deal: CheckedDeal) => boolean {
  const flags = ["--output", "json", "machine", "run", "--limit-cycles", String(limits.cycles), "--memory", String(limits.memoryMib)];
  // It exits with 1 if the program did not exit with 0; what it prints is the same.
  const run = JSON.parse(spawnSync(outcry, [...flags, programFile, "--", ...args], { encoding: "utf8" }).stdout);
  return (deal) => deal.tasks.every((task) => `${innerHash(task.outcome)} ${task.cycles}` === `${run.result_hash} ${run.cycles}`);
}

/** Follows a job until so many of its deals are paid; the answer is what was paid. */
async function paid(id: Hex, deals: number): Promise<bigint> {
  const paid = new Map<Hex, bigint>();
  for await (const event of client.node.events(id, 0, AbortSignal.timeout(60_000))) {
    // By the acceptance, or at the end of the window if that came first.
    if (event.kind === "dealAccepted" || event.kind === "dealSettled") paid.set(event.dealId, BigInt(event.paid));
    if (paid.size === deals) return [...paid.values()].reduce((sum, price) => sum + price);
  }
  throw new Error("the job ended unpaid");
}

test("a job runs on the market, its result is checked, and exactly its price is paid", { timeout: 150_000 }, async () => {
  const source = await client.check();
  const job = buildJob({ program, args: ["ends.wasm", "print", "from TypeScript"], tasks: 2, limits }, source);
  const bid = await client.bid(job);
  const walletBefore = (await client.holdings()).wallet;
  const deposited = await client.fund(bid);
  const before = await client.holdings();
  assert.equal(before.wallet, walletBefore - deposited);
  assert.equal(await client.missingDeposit(bid), 0n);
  const quote = await client.quote(job, bid);
  assert.equal(quote.tasksUnplaced, 0);
  assert.ok(quote.escrow > 0n && quote.balanceNeeded <= before.market);

  const events: JobEvent[] = [];
  const trust = again("print", "from TypeScript");
  const finished = await client.run(job, bid, { trust, timeoutMs: 120_000, onEvent: (event) => events.push(event) });
  assert.equal(finished.tasks.length, 2);
  for (const [index, task] of finished.tasks.entries()) {
    assert.equal(task.task, index);
    assert.deepEqual([task.outcome.status, task.outcome.exitCode], ["exited", 0]);
    assert.equal(text(task.stdout), "from TypeScript\n");
  }
  assert.deepEqual(events.map((event) => event.seq), events.map((_, index) => index + 1));

  const deals = new Set(finished.tasks.map((task) => task.deal)).size;
  assert.equal(await paid(finished.id, deals), finished.price);
  assert.ok(finished.price > 0n && finished.price <= bid.priceCap * 2n);
  assert.equal((await client.holdings()).market, before.market - finished.price);

  await client.giveReceipt(finished.tasks[0]!);
  const order = await client.fetchOrder(finished.id);
  assert.deepEqual([order.bid, jobHash(order.job)], [bid, bid.jobHash]);
  const resumed = await client.finish(finished.id, order.job, { trust, timeoutMs: 60_000 });
  assert.deepEqual(resumed, finished);
});

test("a program that traps is billed, and leaves no output", { timeout: 150_000 }, async () => {
  const job = buildJob({ program, args: ["ends.wasm", "trap"], limits }, await client.check());
  const bid = await client.bid(job);
  await client.fund(bid);
  const { tasks, price } = await client.run(job, bid, { trust: again("trap"), timeoutMs: 120_000 });
  assert.equal(tasks[0]?.outcome.status, "trapped");
  assert.equal(tasks[0]?.stdout.length, 0);
  assert.ok(price > 0n);
});

test("a program that is none is refused with the linker's code", () =>
  assert.rejects(linkProgram(join(repository, "README.md"), outcry), { code: "P-001" }));

test("the first job of the README runs", { timeout: 150_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "outcry-"));
  try {
    const example = fileURLToPath(new URL("../../examples/first-job.js", import.meta.url));
    const options = { cwd: folder, encoding: "utf8", env: { ...process.env, OUTCRY_BIN: outcry } } as const;
    const run = spawnSync(process.execPath, [example, networkFile, programFile, "print", "hello"], options);
    assert.deepEqual([run.status, run.stdout], [0, "hello\n"], run.stderr);
    assert.match(run.stderr, /dealClaimed\n(.*\n)*cost \d+ base units/);
    const refused = spawnSync(process.execPath, [example, "missing.toml", programFile], options);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^\[C-004\]/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a bid that nobody can serve is explained, and dies when it is cancelled", { timeout: 90_000 }, async () => {
  const job = buildJob({ program, args: ["ends"], limits: { memoryMib: 4096 } }, await client.check());
  const bid = await client.bid(job, { maxPrice: 10n ** 6n, memoryMib: 98_304 });
  const explanation = await client.explain(job, bid);
  assert.equal(explanation.acceptable, 0);
  assert.ok(explanation.failures.some((failure) => failure.code === "M-003"), JSON.stringify(explanation));

  await client.fund(bid);
  const id = await client.submit(job, bid);
  await assert.rejects(client.finish(id, job.spec, { trust: "waive", matchWithinMs: 500 }), { code: "M-018" });
  await client.cancel(bid);
  await assert.rejects(client.finish(id, job.spec, { trust: "waive", matchWithinMs: 60_000 }), { code: "D-008" });
  const { state } = await client.node.job(id);
  assert.ok(isTerminal(state) && state === "cancelled", state);
});

test("a bid signed by somebody else is refused", { timeout: 60_000 }, async () => {
  const job = buildJob({ program, args: ["ends"], limits }, await client.check());
  const bid = await client.bid(job, { maxPrice: 1_000_000n });
  for (const blob of job.blobs) await client.node.putBlob(blob.bytes);
  const other = new Client(client.network, Wallet.createRandom());
  await assert.rejects(client.node.submitBid(bid, await other.signBid(bid), job.spec), { code: "O-010" });
});

test("an account without coin deposits by a signature that somebody else sends", { timeout: 60_000 }, async () => {
  const sender = client.chain;
  const owner = new Client(client.network, Wallet.createRandom());
  const account = await owner.chain.signer.getAddress();
  const mint = new Contract(token, ["function mint(address, uint256)"], sender.signer).getFunction("mint");
  await (await mint(account, 9n)).wait();
  const authorisation = await owner.chain.authoriseDeposit(token, 9n, keccak256("0x01") as Hex);
  await sender.depositAuthorised(authorisation);
  assert.deepEqual([(await owner.holdings()).market, (await owner.holdings()).wallet], [9n, 0n]);
  await assert.rejects(sender.depositAuthorised(authorisation), { code: "X-004" });
});

test("money goes in and comes back out, and what the market refuses changes nothing", { timeout: 60_000 }, async () => {
  const { chain } = client;
  const coin = await client.holdings(ZeroAddress);
  await chain.deposit(ZeroAddress, 5n);
  assert.equal((await client.holdings(ZeroAddress)).market, coin.market + 5n);

  const before = await client.holdings();
  await assert.rejects(chain.withdraw(token), { code: "F-005" });
  await assert.rejects(chain.deposit(token, 0n), { code: "F-006" });
  await assert.rejects(chain.deposit(token, before.wallet + 1n), { code: "F-009" });
  await assert.rejects(chain.requestWithdrawal(token, before.market + 1n), { code: "F-001" });
  assert.deepEqual(await client.holdings(), before);

  await chain.deposit(token, 7n);
  await chain.requestWithdrawal(token, 7n);
  const asked = await client.holdings();
  assert.deepEqual([asked.market, asked.withdrawing, asked.wallet], [before.market, 7n, before.wallet - 7n]);
  await assert.rejects(chain.withdraw(token), { code: "F-004" });
  await chain.requestWithdrawal(token, 0n);
  assert.equal((await client.holdings()).market, before.market + 7n);
});
