import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { Node, OutcryError, blake3, parseNetwork } from "../src/index.js";
import { eventData } from "../src/node.js";

async function served<T>(listener: RequestListener, body: (node: Node) => Promise<T>): Promise<T> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await body(new Node(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("events are the same however their bytes are cut", async () => {
  const stream = 'id: 1\r\ndata: {"a":1}\r\n\r\n: a comment\n\ndata: x\ndata:y\n\n';
  for (let size = 1; size <= stream.length; size++) {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += size) parts.push(new TextEncoder().encode(stream.slice(at, at + size)));
    const body = new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(part);
        controller.close();
      },
    });
    const events: string[] = [];
    for await (const data of eventData(new Response(body))) events.push(data);
    assert.deepEqual(events, ['{"a":1}', "x\ny"], `in pieces of ${size}`);
  }
});

test("a stream that breaks goes on where it broke, without a gap or a repetition", async () => {
  const asked: (string | undefined)[] = [];
  const event = (seq: number, kind: string): string =>
    `id: ${seq}\ndata: ${JSON.stringify({ seq, time: 0, state: "open", kind })}\n\n`;
  await served(
    (request, response) => {
      asked.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, { "content-type": "text/event-stream" });
      if (asked.length === 1) {
        response.write(event(1, "submitted") + event(2, "matched"));
        setImmediate(() => response.destroy());
      } else {
        response.end(event(2, "matched") + event(3, "ended"));
      }
    },
    async (node) => {
      const seen: number[] = [];
      for await (const { seq } of node.events("0x00")) seen.push(seq);
      assert.deepEqual(seen, [1, 2, 3]);
    },
  );
  assert.equal(asked[0], "0");
  assert.ok(Number(asked[1]) <= 2);
});

test("prices that were paid come as big integers, and only what was asked for goes along", async () => {
  let asked: string | undefined;
  const candle = { start: 60, open: "1", high: "90071992547409930", low: "1", close: "2", deals: 2, cycles: "7", paid: "9" };
  await served(
    (request, response) => {
      asked = request.url;
      response.end(JSON.stringify({ candles: [candle], next: null, deals: 2, digest: "0x00" }));
    },
    async (node) => {
      const { candles, deals } = await node.history({ intervalS: 60, class: "1g" });
      assert.deepEqual(candles, [
        { start: 60, open: 1n, high: 90071992547409930n, low: 1n, close: 2n, deals: 2, cycles: 7n, paid: 9n },
      ]);
      assert.equal(deals, 2);
    },
  );
  assert.equal(asked, "/v1/market/history?intervalS=60&class=1g");
});

test("the value of cycles and memory comes as big integers, with what a machine would have earned", async () => {
  let asked: string | undefined;
  const worth = { region: null, class: null, deals: 1, cycles: "7", heldS: "5", paid: "9", cyclePrice: "90071992547409930", gibHourPrice: null };
  const machine = { cyclePrice: "3", fullyBooked: "90071992547409930", asUsed: null };
  await served(
    (request, response) => {
      asked = request.url;
      response.end(JSON.stringify({ total: worth, series: [worth], slotsOffered: 4, utilisationBps: 1, machine, deals: 1, digest: "0x00" }));
    },
    async (node) => {
      const value = await node.value({ speed: 10n ** 9n, slots: 2 });
      assert.deepEqual(value.total, { ...worth, cycles: 7n, heldS: 5n, paid: 9n, cyclePrice: 90071992547409930n });
      assert.deepEqual(value.series, [value.total]);
      assert.deepEqual(value.machine, { cyclePrice: 3n, fullyBooked: 90071992547409930n, asUsed: null });
    },
  );
  assert.equal(asked, "/v1/market/value?speed=1000000000&slots=2");
});

test("a refusal keeps the node's code and says what to do", async () => {
  const refusal = { code: "O-005", message: "the order has expired", help: "Sign a new one." };
  await served(
    (_, response) => response.writeHead(422, { "content-type": "application/json" }).end(JSON.stringify(refusal)),
    (node) => assert.rejects(node.status(), (error: OutcryError) => error.code === "O-005" && error.help === "Sign a new one."),
  );
});

test("a blob with other content, or more of it, is refused", async () => {
  const content = new TextEncoder().encode("content");
  await served(
    (_, response) => response.end(content),
    async (node) => {
      assert.deepEqual(await node.blob(blake3(content), 100), content);
      await assert.rejects(node.blob("00".repeat(32), 100), { code: "B-001" });
      await assert.rejects(node.blob(blake3(content), 3), { code: "B-003" });
    },
  );
});

test("a node that is not there is an error with a code", async () => {
  await assert.rejects(new Node("http://127.0.0.1:1").status(), { code: "N-001" });
});

test("a network file names chain, market and tokens, and a lack is told", () => {
  const address = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
  const text = `chain_id = 31337\nrpc = "http://a"\napi = "http://b"\nmarket = "${address}"\nstake = "${address}"\ntoken = "${address}"
[[tokens]]\nsymbol = "tUSD"\naddress = "${address}"\ndecimals = 6\n`;
  assert.deepEqual(parseNetwork(text).tokens, [{ symbol: "tUSD", address, decimals: 6 }]);
  assert.equal(parseNetwork(text).auction, undefined);
  assert.equal(parseNetwork(`auction = "${address}"\n${text}`).auction, address);
  assert.throws(() => parseNetwork(`auction = "0x12"\n${text}`), { code: "C-004" });
  assert.throws(() => parseNetwork(text.replace(/^market.*$/m, "")), { code: "C-004" });
  assert.throws(() => parseNetwork("chain_id = "), { code: "C-004" });
  assert.throws(() => parseNetwork(`colour = "red"\n${text}`), /the key colour is unknown/);
  assert.throws(() => parseNetwork(text.replace(/^market.*$/m, 'market = "0x12"')), /market is no address/);
});

test("an answer that is no JSON, or a page of somebody else's, is an error with a code", async () => {
  for (const [status, body] of [[200, "<html>"], [200, "7"], [404, "<html>"], [500, ""]] as const) {
    await served((_, response) => response.writeHead(status).end(body), (node) => assert.rejects(node.status(), { code: "N-004" }));
  }
});
