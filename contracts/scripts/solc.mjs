#!/usr/bin/env node
// Speaks the part of the native compiler's command line that forge uses, on top of the
// compiler that npm pins: `--version`, and `--standard-json` from stdin to stdout.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

if (process.argv.includes("--version")) {
  const { version } = require("solc/package.json");
  process.stdout.write(
    `solc, the solidity compiler commandline interface\nVersion: ${version}+commit.00000000.Emscripten.npm\n`,
  );
} else if (process.argv.includes("--standard-json")) {
  // forge sends every source inline, so no import callback is needed.
  process.stdout.write(require("solc").compile(readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc.mjs: only --version and --standard-json are supported\n");
  process.exitCode = 2;
}
