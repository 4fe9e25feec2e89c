// Questions for name-choices.yaml: a name among three others that its own letters make in another order, none of them a name. Of the list of names
// of https://github.com/karpathy/makemore (32,000 lines, each name once here, of four letters or more) every tenth is held out.
//   node recipes/language/name-choices.mjs names.txt data
import { readFileSync, writeFileSync } from "node:fs";

const [list = "names.txt", folder = "data"] = process.argv.slice(2);
const names = [...new Set(readFileSync(list, "utf8").split("\n"))].filter((name) => name.length > 3).sort();
const isName = new Set(names);

let state = 1;
/** A whole number below `end`: Lehmer's generator (Park & Miller 1988). */
function draw(end) {
  state = (48_271 * state) % 2_147_483_647;
  return state % end;
}

function shuffled(values) {
  const order = [...values];
  for (let at = order.length - 1; at > 0; at--) {
    const other = draw(at + 1);
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/** Three other orders of the letters; undefined where there are not as many. */
function others(name) {
  const found = new Set();
  for (let tries = 0; found.size < 3 && tries < 50; tries++) {
    const other = shuffled(name).join("");
    if (!isName.has(other)) found.add(other);
  }
  return found.size === 3 ? [...found] : undefined;
}

const rows = shuffled(names).flatMap((name) => {
  const wrong = others(name);
  if (wrong === undefined) return [];
  const choices = shuffled([name, ...wrong]);
  return [{ question: "name?", choices, answer: choices.indexOf(name) }];
});
const lines = (some) => some.map((row) => `${JSON.stringify(row)}\n`).join("");
writeFileSync(`${folder}/names-train.jsonl`, lines(rows.filter((_, at) => at % 10 !== 0)));
writeFileSync(`${folder}/names-test.jsonl`, lines(rows.filter((_, at) => at % 10 === 0)));
