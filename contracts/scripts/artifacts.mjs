#!/usr/bin/env node
// Writes artifacts/*.json (ABI, creation and runtime bytecode) from a forge build, so that
// `cargo build` needs no Solidity compiler. `--check` compares instead and fails on a difference.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forge, root } from "./forge.mjs";

// Contract -> folder of its source file under out/.
const contracts = {
  Market: "Market.sol",
  Recourse: "Recourse.sol",
  Stake: "Stake.sol",
  TestToken: "TestToken.sol",
  Token: "Token.sol",
};
const sizeLimit = 24_576;
const check = process.argv.includes("--check");

// Always the same files in one go: what the compiler makes of a file varies a little with the files
// that it compiles together.
const out = join(root, "out/artifacts");
const status = forge(["build", "--skip", "test", "--force"], {
  FOUNDRY_OUT: out,
  FOUNDRY_CACHE_PATH: join(root, "cache/artifacts"),
});
if (status !== 0) process.exit(status);

const folder = join(root, "artifacts");
mkdirSync(folder, { recursive: true });
let failed = false;
const complain = (message) => {
  console.error(message);
  failed = true;
};

for (const [name, source] of Object.entries(contracts)) {
  const built = JSON.parse(readFileSync(join(out, source, `${name}.json`), "utf8"));
  const size = (built.deployedBytecode.object.length - 2) / 2;
  if (size > sizeLimit) complain(`${name} has ${size} bytes of code; the limit is ${sizeLimit}`);
  const artifact = {
    contractName: name,
    abi: built.abi,
    bytecode: { object: built.bytecode.object },
    deployedBytecode: { object: built.deployedBytecode.object },
  };
  if (built.deployedBytecode.immutableReferences && Object.keys(built.deployedBytecode.immutableReferences).length) {
    artifact.deployedBytecode.immutableReferences = built.deployedBytecode.immutableReferences;
  }
  const path = join(folder, `${name}.json`);
  const text = `${JSON.stringify(artifact, null, 1)}\n`;
  if (check) {
    let stored = "";
    try {
      stored = readFileSync(path, "utf8");
    } catch {
      // Missing counts as different.
    }
    if (stored !== text) complain(`artifacts/${name}.json does not match the sources: run \`npm run artifacts\``);
  } else {
    writeFileSync(path, text);
    console.log(`${name}: ${size} bytes of code`);
  }
}
// The market runs Recourse's code on its own storage.
const layout = (name) => {
  const { storage } = JSON.parse(readFileSync(join(out, `${name}.sol`, `${name}.json`), "utf8")).storageLayout;
  return JSON.stringify(storage.map(({ label, slot, offset }) => [label, slot, offset]));
};
if (layout("Market") !== layout("Recourse")) complain("Market and Recourse differ in their storage layout");

const expected = new Set(Object.keys(contracts).map((name) => `${name}.json`));
for (const file of readdirSync(folder)) {
  if (!expected.has(file)) complain(`artifacts/${file} belongs to no contract: delete it`);
}
process.exitCode = failed ? 1 : 0;
