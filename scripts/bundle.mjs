// Writes the JavaScript of dist/: one file per folder of src/, and one of the library that every folder's schemas need. A process
// then opens twenty files where it opened four hundred, and starts in half the time. The types beside them, file by file, are the
// compiler's (`tsc -b`). Folders know each other by their doors alone, so the file of a door is the folder.
//   node scripts/bundle.mjs
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("..", import.meta.url));
/** The package's door, and what is started by its path. */
const programs = ["index", "cli/main", "data/text-worker", "data/shard-worker"];
const doors = readdirSync(join(root, "src"))
  .map((name) => `${name}/index`)
  .filter((door) => existsSync(join(root, `src/${door}.ts`)));

/** Leaves another folder and zod as an import of the file that holds it, and what npm or Node has as it is. */
function neighbours(output) {
  const up = output.includes("/") ? "../" : "./";
  const file = (id) => ({ id: `${up}${id}.js`, external: true });
  return {
    name: "neighbours",
    resolveId(source) {
      const door = /^(?:\.\.?\/)+([\w-]+\/index)\.ts$/.exec(source)?.[1];
      if (doors.includes(door)) return file(door);
      if (source === "zod") return file("libraries/zod");
      return /^(node:|@?[a-z])/.test(source) ? { id: source, external: true } : null;
    },
  };
}

/** zod speaks fifty languages; Athanor's messages are written by Athanor. */
const english = {
  name: "english",
  load: (id) => (id.endsWith("/locales/index.js") ? 'export { default as en } from "./en.js";' : null),
};

async function write(input, output, plugin) {
  const bundle = await rolldown({ cwd: root, input, plugins: [plugin], platform: "node" });
  await bundle.write({ file: join(root, "dist", `${output}.js`), format: "esm", sourcemap: true });
  await bundle.close();
}

await Promise.all([
  ...[...programs, ...doors].map((name) => write(`./src/${name}.ts`, name, neighbours(name))),
  write("zod", "libraries/zod", english),
]);
copyFileSync(join(root, "node_modules/zod/LICENSE"), join(root, "dist/libraries/zod.LICENSE"));
