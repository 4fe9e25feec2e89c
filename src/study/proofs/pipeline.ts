// From an empty folder to a model that answers: a new project is trained, and its report tells the six steps and what came of them.
import { readFile } from "node:fs/promises";
import { evaluateRun, load, train } from "../../api/index.ts";
import { AthanorError } from "../../base/index.ts";
import { initProject, wrongNames } from "../../recipe/index.ts";
import { atLeast, atMost, equal, type Figure, holds, type Proof, type ProofContext, shown } from "../proof.ts";

const stages = ["preprocess", "model", "init", "loss", "optimizer", "iterate", "evaluation", "deployment"];
const flower = { length: 4.1, width: 1, colour: "red" };

async function sixSteps({ folder, signal }: ProofContext): Promise<Figure[]> {
  const [project, runDir] = [`${folder}/demo`, `${folder}/run`];
  const files = await initProject(project);
  const again = await initProject(project).then(
    () => "accepted",
    (error) => (error instanceof AthanorError ? error.code : String(error)),
  );
  const started = performance.now();
  const { report } = await train(`${project}/athanor.yaml`, { runDir, ...(signal === undefined ? {} : { signal }) })
    .outcome;
  const seconds = (performance.now() - started) / 1000;
  const told = report?.stages ?? [];
  const written = JSON.parse(await readFile(`${runDir}/report.json`, "utf8"));
  const page = await readFile(`${runDir}/report.md`, "utf8");
  const { metrics, count } = await evaluateRun(runDir);
  const model = await load(runDir);
  await model.save(`${folder}/saved`);
  const [one, other] = [await model.predict(flower), await (await load(`${folder}/saved`)).predict(flower)];
  const best = 1 - wrongNames;
  return [
    equal("files of a new project", files.join(", "), "athanor.yaml, flowers.csv, README.md, .gitignore"),
    equal("a second one at its place", again, "path/exists"),
    equal("steps told", told.map(({ name }) => name).join(", "), stages.join(", ")),
    holds(
      "each with inputs and outputs",
      told.every(({ inputs, outputs }) => inputs !== "" && outputs !== ""),
    ),
    holds(
      "each with its seconds",
      told.every((stage) => stage.seconds > 0),
    ),
    atMost("their sum, as a share of the run's time", told.reduce((sum, stage) => sum + stage.seconds, 0) / seconds, 1),
    holds("told in report.json", JSON.stringify(written.stages) === JSON.stringify(told)),
    holds(
      "and in report.md",
      stages.every((name) => page.includes(`| ${name} |`)),
    ),
    atLeast("held-out accuracy, where a tenth of the names is wrong", metrics.accuracy!, best - 0.08),
    atMost(
      "and not above the best there is, by 3 standard errors",
      metrics.accuracy!,
      best + 3 * Math.sqrt((best * wrongNames) / count),
    ),
    shown("a red flower of 4.1", "label" in one ? one.label : ""),
    holds("the saved model answers with the same bytes", JSON.stringify(other) === JSON.stringify(one)),
  ];
}

export const pipelineProofs: readonly Proof[] = [
  {
    id: "pipe.six",
    doc: "a new project trains at once; its report has six steps, evaluation and deployment, with inputs, outputs, seconds",
    run: sixSteps,
  },
];
