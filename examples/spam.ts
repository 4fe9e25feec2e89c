// Spam or not: a text classifier from an array.
import { train } from "athanor";

const names = ["Ann", "Bo", "Chen", "Dee", "Eli", "Fay", "Gus", "Hal"];
const rows = names.flatMap((name, at) => [
  { text: `${name}, you won ${at + 1}00 dollars, click here now`, label: "spam" as const },
  { text: `hi ${name}, are we still meeting at ${at + 1} tomorrow?`, label: "ham" as const },
]);
const model = await train({
  data: { rows, target: "label" },
  model: { textClassifier: { context: 64, width: 32 } },
  batch: { size: 8 },
  steps: Number(process.env.STEPS ?? 200),
});
console.log(await model.predict(["click here, Zoe, and win 900 dollars", "Zoe, is the meeting at 5?"]));
