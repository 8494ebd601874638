import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { connect, linkProgram, loadKey, loadNetwork, readFolder, writeFolder } from "../src/folder.js";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "outcry-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a folder is written as it was read", () =>
  inFolder(async (folder) => {
    const files = new Map([["a.txt", bytes("1")], ["b/c.txt", bytes("2")], ["empty/", bytes("")]]);
    await writeFolder(join(folder, "one"), files);
    const read = await readFolder(join(folder, "one"));
    assert.deepEqual(new Map([...read].map(([path, content]) => [path, new Uint8Array(content)])), files);
  }));

test("a link in a folder is refused, not followed", () =>
  inFolder(async (folder) => {
    symlinkSync("/etc/passwd", join(folder, "link"));
    await assert.rejects(readFolder(folder), { code: "P-011" });
  }));

test("nothing is replaced and nothing is written outside of the folder", () =>
  inFolder(async (folder) => {
    const inner = join(folder, "inner");
    await assert.rejects(writeFolder(inner, new Map([["../escaped", bytes("")]])), { code: "P-011" });
    await assert.rejects(readFolder(join(folder, "escaped")), { code: "C-004" });
    writeFileSync(join(inner, "mine"), "mine");
    await assert.rejects(writeFolder(inner, new Map([["mine", bytes("theirs")]])), { code: "C-004" });
    assert.equal(readFileSync(join(inner, "mine"), "utf8"), "mine");
  }));

test("a network file brings its key, which nobody else may read", () =>
  inFolder(async (folder) => {
    const address = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
    mkdirSync(join(folder, "keys"));
    const [network, key] = [join(folder, "network.toml"), join(folder, "keys/buyer.key")];
    writeFileSync(
      network,
      `chain_id = 1\nrpc = "http://a"\napi = "http://b"\nmarket = "${address}"\nstake = "${address}"\ntoken = "${address}"\nkey_file = "keys/buyer.key"\npython = "../python.wasm"\n`,
    );
    writeFileSync(key, "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d\n", { mode: 0o600 });
    const loaded = await loadNetwork(network);
    assert.deepEqual([loaded.keyFile, loaded.python], [key, join(folder, "../python.wasm")]);
    assert.equal(await (await connect(network)).account(), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    chmodSync(key, 0o644);
    await assert.rejects(connect(network), { code: "C-003" });
    writeFileSync(key, "no key", { mode: 0o600 });
    chmodSync(key, 0o600);
    await assert.rejects(loadKey(key), { code: "C-005" });
    await assert.rejects(connect(join(folder, "missing.toml")), { code: "C-004" });
  }));

test("a linker that is not there is an error with a code", () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, "a.wasm"), "");
    await assert.rejects(linkProgram(join(folder, "a.wasm"), join(folder, "outcry")), { code: "C-006" });
    await assert.rejects(linkProgram(join(folder, "b.wasm")), { code: "C-004" });
  }));
