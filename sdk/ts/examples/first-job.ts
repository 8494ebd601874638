import { parseUnits } from "ethers";
import { OutcryError, buildJob } from "@outcry/sdk";
import { connect, linkProgram, writeFolder } from "@outcry/sdk/node";

const [networkFile, programFile, ...args] = process.argv.slice(2);
if (!networkFile || !programFile) throw new Error("usage: first-job NETWORK.TOML PROGRAM.WASM [ARGS]");
try {
  const client = await connect(networkFile);
  const program = await linkProgram(programFile, process.env["OUTCRY_BIN"]);
  const limits = { cycles: 1_000_000_000n, memoryMib: 64 };
  const job = buildJob({ program, args: ["program", ...args], limits }, await client.check());
  const bid = await client.bid(job, { maxPrice: parseUnits("1", client.network.tokens[0]?.decimals) });
  await client.fund(bid);
  const onEvent = ({ kind }: { kind: string }) => console.error(kind);
  const { id, tasks, price } = await client.run(job, bid, { trust: "waive", onEvent });
  for (const task of tasks) process.stdout.write(task.stdout);
  await writeFolder(`results/${id}`, tasks[0]!.files);
  console.error(`cost ${price} base units`);
} catch (error) {
  if (!(error instanceof OutcryError)) throw error;
  console.error(`[${error.code}] ${error.message}\n${error.help}`);
  process.exitCode = 1;
}
