// A job on a running network: OUTCRY_NETWORK names its network.toml (`outcry-testnet with -- npm run
// test:e2e` sets it), OUTCRY_BIN the `outcry` binary that links programs and runs them again.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Wallet } from "ethers";

import { Client, buildJob, parseNetwork } from "../../src/index.js";
import type { CheckedDeal, JobEvent } from "../../src/index.js";

const repository = fileURLToPath(new URL("../../../../../", import.meta.url));
const outcry = process.env["OUTCRY_BIN"] ?? join(repository, "target/release/outcry");
const file = process.env["OUTCRY_NETWORK"];
assert.ok(file, "set OUTCRY_NETWORK to the network.toml of a running network");
const network = parseNetwork(readFileSync(file, "utf8"));
assert.ok(network.keyFile, "the network names no funded account");
const key = readFileSync(resolve(dirname(file), network.keyFile), "utf8").trim();
const programFile = join(repository, "testnet/programs/ends.wasm");

const account = new Wallet(key.startsWith("0x") ? key : `0x${key}`);

/** What a verb of the command line answers. */
function json(...args: string[]): Record<string, any> {
  return JSON.parse(execFileSync(outcry, ["--output", "json", ...args], { encoding: "utf8", maxBuffer: 1 << 26 }));
}

const program = { wasm: readFileSync(programFile), imageRoot: json("machine", "link", programFile)["image_root"] };

test("a job runs on the market and its checked result comes back", { timeout: 120_000 }, async () => {
  const client = new Client(network, account);
  const source = await client.check();
  const limits = { cycles: 100_000_000n, memoryMib: 64 };
  const job = buildJob({ program, args: ["ends", "print", "from TypeScript"], tasks: 2, limits }, source);
  const bid = await client.bid(job);
  await client.fund(bid);

  const events: JobEvent[] = [];
  const trust = async (deal: CheckedDeal): Promise<boolean> => {
    const limits = ["--limit-cycles", "100000000", "--memory", "64"];
    const again = json("machine", "run", ...limits, programFile, "--", "print", "from TypeScript");
    return deal.tasks.every((task) => new TextDecoder().decode(task.stdout) === again["stdout"]);
  };
  const finished = await client.run(job, bid, { trust, timeoutMs: 100_000, onEvent: (event) => events.push(event) });

  assert.equal(finished.tasks.length, 2);
  for (const [index, task] of finished.tasks.entries()) {
    assert.equal(task.task, index);
    assert.deepEqual([task.outcome.status, task.outcome.exitCode], ["exited", 0]);
    assert.equal(new TextDecoder().decode(task.stdout).trim(), "from TypeScript");
  }
  assert.ok(finished.price > 0n && finished.price <= bid.priceCap * 2n);
  assert.deepEqual(
    events.map((event) => event.seq),
    events.map((_, index) => index + 1),
  );
});

test("a bid that nobody can serve is explained", { timeout: 60_000 }, async () => {
  const client = new Client(network, account);
  const job = buildJob({ program, args: ["ends"], limits: { memoryMib: 4096 } }, await client.check());
  const bid = await client.bid(job, { maxPrice: 10n ** 6n, memoryMib: 98_304 });
  const explanation = await client.explain(job, bid);
  assert.equal(explanation.acceptable, 0);
  assert.ok(explanation.failures.some((failure) => failure.code === "M-003"), JSON.stringify(explanation));
});

test("a bid signed by somebody else is refused", { timeout: 60_000 }, async () => {
  const client = new Client(network, account);
  const job = buildJob({ program, args: ["ends"], limits: { cycles: 1_000_000n, memoryMib: 64 } }, await client.check());
  const bid = await client.bid(job, { maxPrice: 1_000_000n });
  for (const blob of job.blobs) await client.node.putBlob(blob.bytes);
  const other = new Client(network, Wallet.createRandom());
  await assert.rejects(client.node.submitBid(bid, await other.signBid(bid), job.spec), { code: "O-010" });
});
