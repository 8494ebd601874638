#!/usr/bin/env node
// Runs forge with the given arguments: the binary that npm pinned for this platform, or else the
// one on PATH. `npm run build -- --sizes` passes options through.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

export function forgePath() {
  const pinned = join(root, `node_modules/@foundry-rs/forge-${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}/bin/forge`);
  return existsSync(pinned) ? pinned : "forge";
}

/** Runs forge in the contracts folder and returns its exit status. */
export function forge(args, env = {}) {
  const run = spawnSync(forgePath(), args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, FOUNDRY_DISABLE_NIGHTLY_WARNING: "1", ...env },
  });
  if (run.error) {
    console.error(`forge not found: run \`npm ci\` in contracts/, or install Foundry 1.7 and put forge on PATH (${run.error.message})`);
    return 127;
  }
  return run.status ?? 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, ...rest] = process.argv.slice(2);
  // Gas is measured by `npm run gas`, with every call a transaction.
  const skip = command === "test" && rest.length === 0 ? ["--no-match-contract", "GasTest"] : [];
  process.exitCode = forge([command, ...skip, ...rest]);
}
