// athanor engine build: compiles the native engine on this machine, offline, from the sources in the package.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fail } from "../../base/index.ts";
import { type CommandContext, type DefineCommand, packageRoot } from "../command.ts";

export const defineEngine: DefineCommand = (program, run) => {
  const engine = program.command("engine").description("the native engine");
  engine
    .command("build")
    .description("compile the native engine on this machine (needs g++ and make)")
    .action(run(build));
};

async function build({ output }: CommandContext): Promise<undefined> {
  const script = fileURLToPath(new URL("scripts/build-native.mjs", packageRoot));
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(process.execPath, [script, "--strict", "--force"], { stdio: ["ignore", 2, 2] });
    child.on("error", reject);
    child.on("close", resolve);
  });
  output.record({ built: code === 0 });
  if (code === 0) output.print("the native engine is built");
  else
    fail("engine/build", "the native engine could not be built", {
      got: `exit code ${code}`,
      fix: "install a C++ compiler and make (Debian: apt-get install g++ make), then try again",
    });
  return undefined;
}
