#!/usr/bin/env node
// Mutation testing of src/machine: changes one thing at a time, compiles, and runs the machine's tests,
// which must notice.
//
//     npm run mutate                                 # all mutants, about six seconds each
//     npm run mutate -- --sample 300 --seed 1        # as many, drawn by the seed
//     npm run mutate -- --only Floats.sol:120        # those of a file, or of a line of it
//     npm run mutate -- --list                       # prints them
//
// Mutants in test/machine/equivalent.json behave like the original for the reason given there, and
// those with the original's bytecode do so by themselves; neither counts. Exits with 1 below 95%, with 2
// if there was none to test.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, normalize } from "node:path";
import { forgePath, root } from "./forge.mjs";

const scoreMin = 0.95;
const solc = createRequire(import.meta.url)("solc");
const targets = ["StepVerifier", "InitialState"];
const folder = join(root, "cache/mutants");

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : (process.argv[at + 1] ?? true);
};

// Sources and compiler.

const sources = new Map();
function read(path) {
  if (sources.has(path)) return;
  const content = readFileSync(join(root, path), "utf8");
  sources.set(path, content);
  for (const [, imported] of content.matchAll(/from "(\.[^"]+)"/g)) read(normalize(join(dirname(path), imported)));
}
targets.forEach((name) => read(`src/machine/${name}.sol`));

/** Creation bytecode of the targets, or undefined if the sources do not compile. */
function compile(changed = {}) {
  const input = {
    language: "Solidity",
    sources: Object.fromEntries([...sources].map(([path, content]) => [path, { content: changed[path] ?? content }])),
    settings: {
      evmVersion: "osaka",
      viaIR: true,
      optimizer: { enabled: true, runs: 2000 },
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: Object.fromEntries(targets.map((name) => [`src/machine/${name}.sol`, { [name]: ["evm.bytecode.object"] }])),
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  if (output.errors?.some(({ severity }) => severity === "error")) return undefined;
  return targets.map((name) => output.contracts[`src/machine/${name}.sol`][name].evm.bytecode.object);
}

/** Whether the tests pass with this bytecode. */
function passes(bytecodes) {
  targets.forEach((name, i) => {
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ abi: [], bytecode: { object: `0x${bytecodes[i]}` } }));
  });
  const run = spawnSync(forgePath(), ["test", "--match-path", "test/machine/*", "--no-match-contract", "GasTest", "--fail-fast"], {
    cwd: root,
    encoding: "utf8",
    timeout: 300_000,
    env: {
      ...process.env,
      STEP_VERIFIER: "cache/mutants/StepVerifier.json",
      INITIAL_STATE: "cache/mutants/InitialState.json",
      FOUNDRY_FUZZ_RUNS: "64",
    },
  });
  if (run.status !== 0 && !/FAIL/.test(run.stdout)) throw new Error(`the tests did not run:\n${run.stdout}${run.stderr}`);
  return run.status === 0;
}

// Mutants.

// What a token of code becomes.
const swaps = {
  "+": ["-"], "-": ["+"], "*": ["+"], "/": ["*"], "%": ["/"], "<<": [">>"], ">>": ["<<"], "&": ["|"], "|": ["&"], "^": ["&"],
  "<": ["<=", ">"], ">": [">=", "<"], "<=": ["<", ">="], ">=": [">", "<="], "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
  "+=": ["-="], "-=": ["+="], "<<=": [">>="], ">>=": ["<<="], "&=": ["|="], "|=": ["&="], "^=": ["|="], "++": ["--"], "--": ["++"],
  true: ["false"], false: ["true"],
};
// The same inside assembly, where operators are calls.
const calls = {
  add: ["sub"], sub: ["add"], mul: ["add"], div: ["mul"], mod: ["div"], lt: ["gt"], gt: ["lt"], slt: ["sgt", "lt"], sgt: ["slt", "gt"],
  eq: ["lt"], and: ["or"], or: ["and"], xor: ["or"], shl: ["shr"], shr: ["shl"], sar: ["shr"], iszero: [""], mload: ["calldataload"],
  calldataload: ["mload"], signextend: ["shr"], clz: ["iszero"],
};

/** Ranges that are code: no comments, strings, imports or pragmas. */
function codeMask(text) {
  const mask = new Uint8Array(text.length).fill(1);
  for (const match of text.matchAll(/\/\/[^\n]*|"[^"\n]*"|^(?:import|pragma|using)[^;]*;|\bassembly \("memory-safe"\)/gms)) {
    mask.fill(0, match.index, match.index + match[0].length);
  }
  return mask;
}

function assemblyMask(text) {
  const mask = new Uint8Array(text.length);
  for (const match of text.matchAll(/assembly \("memory-safe"\) \{/g)) {
    let depth = 0;
    let at = match.index + match[0].length - 1;
    do {
      if (text[at] === "{") ++depth;
      if (text[at] === "}") --depth;
      mask[at++] = 1;
    } while (depth !== 0);
  }
  return mask;
}

function mutantsOf(path) {
  const text = sources.get(path);
  const [code, assembly] = [codeMask(text), assemblyMask(text)];
  const mutants = [];
  const push = (start, end, replacement, what) => {
    const line = text.slice(0, start).split("\n").length;
    const before = text.slice(text.lastIndexOf("\n", start) + 1, text.indexOf("\n", end) < 0 ? undefined : text.indexOf("\n", end)).trim();
    mutants.push({ path, start, end, replacement, line, key: `${path.split("/").pop()} | ${before} | ${what}` });
  };
  const token = /0x[0-9a-fA-F_]+|\b\d[\d_]*\b|[A-Za-z_][A-Za-z0-9_]*|<<=|>>=|=>|\+\+|--|&&|\|\||<<|>>|[<>=!+\-*/%&|^]=?/g;
  for (const match of text.matchAll(token)) {
    const [found] = match;
    const start = match.index;
    if (!code[start]) continue;
    const lineStart = text.lastIndexOf("\n", start) + 1;
    const place = start - lineStart;
    const isCall = assembly[start] && text[start + found.length] === "(";
    const replacements = /^\d|^0x/.test(found)
      ? [BigInt(found.replaceAll("_", "")) + 1n, ...(BigInt(found.replaceAll("_", "")) === 0n ? [] : [BigInt(found.replaceAll("_", "")) - 1n])]
      : isCall && calls[found] ? calls[found] : !assembly[start] ? swaps[found] ?? [] : [];
    for (const replacement of replacements) push(start, start + found.length, String(replacement), `@${place} ${found} -> ${replacement}`);
  }
  // Conditions turned around.
  for (const match of text.matchAll(/\b(?:if|while) \(/g)) {
    if (!code[match.index]) continue;
    const open = match.index + match[0].length - 1;
    let depth = 0;
    let end = open;
    do {
      if (text[end] === "(") ++depth;
      if (text[end] === ")") --depth;
      ++end;
    } while (depth !== 0);
    push(open, end, `(!${text.slice(open, end)})`, "condition negated");
  }
  // Statements left out: whole lines that declare and return nothing.
  for (const match of text.matchAll(/^[ ]{8,}([^\n;]*\S);$/gm)) {
    const statement = match[1];
    const start = match.index + match[0].indexOf(statement);
    if (!code[start] || assembly[start] || /^(return|revert|bytes|uint|int|bool|Leaf|Step |State|Rest|Context|Descriptor |Caller |Part |break|\})/.test(statement)) continue;
    push(start, start + statement.length + 1, /^(if|else|for|while)\b/.test(statement) ? "{}" : "", "statement left out");
  }
  // The same in assembly, where no semicolon ends them.
  for (const match of text.matchAll(/^ +((?:mstore|mstore8|calldatacopy|mcopy)\([^\n]*\)|[a-z_]+ := [^\n]*)$/gm)) {
    const start = match.index + match[0].indexOf(match[1]);
    if (assembly[start]) push(start, start + match[1].length, "", "statement left out");
  }
  return mutants;
}

/** SplitMix64: a number below n for each i. */
function draw(seed, i, n) {
  let z = BigInt.asUintN(64, (BigInt(seed) << 32n) + BigInt(i + 1) * 0x9e3779b97f4a7c15n);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return Number((z ^ (z >> 31n)) % BigInt(n));
}

const files = readdirSync(join(root, "src/machine")).sort().map((name) => `src/machine/${name}`);
let mutants = files.filter((path) => sources.has(path)).flatMap(mutantsOf);
const only = option("only");
if (only) mutants = mutants.filter(({ path, line }) => path.endsWith(`/${only}`) || `${path}:${line}`.endsWith(`/${only}`));
const seed = option("seed", "1");
const sample = Number(option("sample", mutants.length));
// A shuffle of which the first ones are the sample.
for (let i = 0; i < Math.min(sample, mutants.length); ++i) {
  const j = i + draw(seed, i, mutants.length - i);
  [mutants[i], mutants[j]] = [mutants[j], mutants[i]];
}
mutants = mutants.slice(0, sample);
if (option("list")) {
  for (const { line, key } of mutants) console.log(`${line}: ${key}`);
  process.exit();
}

mkdirSync(folder, { recursive: true });
const equivalent = JSON.parse(readFileSync(join(root, "test/machine/equivalent.json"), "utf8"));
const original = compile();
if (!passes(original)) throw new Error("the tests fail without a mutation");

const count = { killed: 0, survived: 0, equivalent: 0, "same bytecode": 0, "does not compile": 0 };
for (const mutant of mutants) {
  const { path, start, end, replacement, line, key } = mutant;
  const text = sources.get(path);
  let outcome;
  if (equivalent[key]) outcome = "equivalent";
  else {
    const bytecodes = compile({ [path]: text.slice(0, start) + replacement + text.slice(end) });
    if (bytecodes === undefined) outcome = "does not compile";
    else if (bytecodes.every((bytecode, i) => bytecode === original[i])) outcome = "same bytecode";
    else outcome = passes(bytecodes) ? "survived" : "killed";
  }
  ++count[outcome];
  if (outcome === "survived") console.log(`survived ${line}: ${key}`);
  if (option("verbose")) console.log(`${outcome} ${line}: ${key}`);
}
if (count.killed + count.survived === 0) {
  console.error(`${JSON.stringify(count)}: no mutant was tested; --list shows which there are`);
  process.exit(2);
}
const score = count.killed / (count.killed + count.survived);
console.log(`${JSON.stringify(count)}; score ${(100 * score).toFixed(1)}%`);
process.exitCode = score < scoreMin ? 1 : 0;
