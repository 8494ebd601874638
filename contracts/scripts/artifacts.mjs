#!/usr/bin/env node
// Writes artifacts/*.json (ABI, creation and runtime bytecode) from a forge build, so that
// `cargo build` needs no Solidity compiler. `--check` compares instead and fails on a difference.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forge, root } from "./forge.mjs";

// Contracts that are compiled together, and what is compiled with them.
const groups = {
  market: { contracts: ["Market", "Recourse", "Stake", "TestToken", "Token"], files: ["--skip", "test", "--skip", "src/machine/**", "--skip", "src/Game.sol", "--skip", "src/game/**", "--skip", "src/Audits.sol", "--skip", "src/audit/**", "--skip", "src/Auction.sol", "--skip", "src/Delivery.sol", "--skip", "src/auction/**", "--skip", "test/auction/**", "--skip", "src/interfaces/IAuction.sol", "--skip", "src/types/Auctions.sol"] },
  game: { contracts: ["Game"], files: ["src/Game.sol"] },
  auction: { contracts: ["Auction", "Delivery"], files: ["src/Auction.sol"] },
  audits: { contracts: ["Audits"], files: ["src/Audits.sol"] },
  machine: { contracts: ["InitialState", "StepVerifier"], files: ["src/machine"] },
};
const sizeLimit = 24_576;
const check = process.argv.includes("--check");

// Always the same files in one go: what the compiler makes of a file varies a little with the files
// that it compiles together.
const outOf = (group) => join(root, "out/artifacts", group);
for (const [group, { files }] of Object.entries(groups)) {
  const status = forge(["build", ...files, "--force"], {
    FOUNDRY_OUT: outOf(group),
    FOUNDRY_CACHE_PATH: join(root, "cache/artifacts", group),
  });
  if (status !== 0) process.exit(status);
}
const built = (name) => {
  const [group] = Object.entries(groups).find(([, { contracts }]) => contracts.includes(name));
  return JSON.parse(readFileSync(join(outOf(group), `${name}.sol`, `${name}.json`), "utf8"));
};
const names = Object.values(groups).flatMap(({ contracts }) => contracts);

const folder = join(root, "artifacts");
mkdirSync(folder, { recursive: true });
let failed = false;
const complain = (message) => {
  console.error(message);
  failed = true;
};

for (const name of names) {
  const { abi, bytecode, deployedBytecode } = built(name);
  const size = (deployedBytecode.object.length - 2) / 2;
  if (size > sizeLimit) complain(`${name} has ${size} bytes of code; the limit is ${sizeLimit}`);
  const artifact = {
    contractName: name,
    abi,
    bytecode: { object: bytecode.object },
    deployedBytecode: { object: deployedBytecode.object },
  };
  if (deployedBytecode.immutableReferences && Object.keys(deployedBytecode.immutableReferences).length) {
    artifact.deployedBytecode.immutableReferences = deployedBytecode.immutableReferences;
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
// The market runs Recourse's code on its own storage, the auction Delivery's.
const layout = (name) => {
  const { storage } = built(name).storageLayout;
  return JSON.stringify(storage.map(({ label, slot, offset }) => [label, slot, offset]));
};
for (const [owner, borrowed] of [["Market", "Recourse"], ["Auction", "Delivery"]]) {
  if (layout(owner) !== layout(borrowed)) complain(`${owner} and ${borrowed} differ in their storage layout`);
}

const expected = new Set(names.map((name) => `${name}.json`));
for (const file of readdirSync(folder)) {
  if (!expected.has(file)) complain(`artifacts/${file} belongs to no contract: delete it`);
}
process.exitCode = failed ? 1 : 0;
