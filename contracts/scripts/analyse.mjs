#!/usr/bin/env node
// Proves test/proofs for all inputs with halmos, and looks for known mistakes with slither: every
// finding of medium impact or more must be explained in test/analysis/explained.json.
//
//     npm run analyse               # needs Python 3.10 or later; installs both from PyPI, once
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { forgePath, root } from "./forge.mjs";

const requirements = join(root, "scripts/requirements.txt");
const environment = join(root, "cache/analysis/python");
const stamp = join(environment, "installed.txt");
const program = (name) => join(environment, "bin", name);

function run(command, args, env = {}, stdio = "inherit") {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio,
    env: { ...process.env, PATH: `${dirname(forgePath())}${delimiter}${process.env.PATH}`, ...env },
  });
  if (error) throw error;
  return status;
}

function need(what, status) {
  if (status === 0) return;
  console.error(`${what} failed`);
  process.exit(1);
}

const wanted = readFileSync(requirements, "utf8");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  mkdirSync(dirname(environment), { recursive: true });
  need("python3 -m venv", run("python3", ["-m", "venv", "--clear", environment]));
  need("pip", run(program("pip"), ["install", "--quiet", "--disable-pip-version-check", "-r", requirements]));
  writeFileSync(stamp, wanted);
}

const built = (name) => ({ FOUNDRY_OUT: `out/${name}`, FOUNDRY_CACHE_PATH: `cache/${name}` });

// halmos builds what it proves, and all of a loop: 64 bits of a limit, and the last look at them.
need(
  "a proof",
  run(program("halmos"), ["--function", "test_", "--forge-build-out", "out/proofs", "--loop", "65"], {
    ...built("proofs"),
    FOUNDRY_SRC: "src/game",
    FOUNDRY_TEST: "test/proofs",
  }),
);

const report = join(root, "cache/analysis/slither.json");
rmSync(report, { force: true });
// Its exit status counts findings, and so does what it prints; the report says both.
run(
  program("slither"),
  [
    ".", "--foundry-out-directory", "out/slither", "--filter-paths", "node_modules|src/testing",
    "--exclude-informational", "--exclude-optimization", "--exclude-low", "--json", report, "--disable-color",
  ],
  built("slither"),
  "ignore",
);
if (!existsSync(report)) throw new Error("slither wrote no report: run it by hand");
const { success, error, results } = JSON.parse(readFileSync(report, "utf8"));
if (!success) throw new Error(`slither failed: ${error}`);

const explained = JSON.parse(readFileSync(join(root, "test/analysis/explained.json"), "utf8"));
const used = new Set();
let open = 0;
for (const { check, description } of results.detectors) {
  const i = explained.findIndex((entry) => entry.check === check && description.includes(entry.about));
  if (i >= 0) used.add(i);
  else {
    ++open;
    console.error(`not explained: ${check}: ${description}`);
  }
}
explained.forEach(({ check, about }, i) => {
  if (used.has(i)) return;
  ++open;
  console.error(`explained, but not found any more: ${check}: ${about}`);
});
console.log(`slither: ${results.detectors.length} findings, ${open} to look at`);
process.exitCode = open === 0 ? 0 : 1;
