#!/usr/bin/env node
// Measures the gas of the market's calls, each as a transaction of its own, of the machine's steps, of a
// dispute, of an audit and of an auction, on the bytecode in artifacts/, and writes the figures to
// gas/snapshot.json. `--check` compares instead and fails on a difference. The bars of the design are asserted in
// test/Gas.t.sol, test/machine/StepGas.t.sol, test/game/GameGas.t.sol and test/auction/AuctionGas.t.sol themselves.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forge, root } from "./forge.mjs";

const measured = ["measured", "measured-steps", "measured-disputes", "measured-audits", "measured-auctions"].map((name) => join(root, `gas/${name}.json`));
const snapshot = join(root, "gas/snapshot.json");

for (const path of measured) rmSync(path, { force: true });
const status = forge(["test", "--isolate", "--match-contract", "GasTest"]);
if (status !== 0) process.exit(status);
const figures = Object.assign({}, ...measured.map((path) => JSON.parse(readFileSync(path, "utf8"))));
for (const path of measured) rmSync(path);
const text = `${JSON.stringify(figures, null, 2)}\n`;

if (process.argv.includes("--check")) {
  const [now, then] = [JSON.parse(text), JSON.parse(readFileSync(snapshot, "utf8"))];
  const changed = [...new Set([...Object.keys(now), ...Object.keys(then)])].filter((what) => now[what] !== then[what]);
  for (const what of changed) console.error(`${what}: ${then[what] ?? "-"} -> ${now[what] ?? "-"}`);
  if (changed.length) {
    console.error("gas changed: run `npm run gas` and say why in the commit");
    process.exitCode = 1;
  }
} else {
  writeFileSync(snapshot, text);
  process.stdout.write(text);
}
