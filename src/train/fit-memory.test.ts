// A budget of memory: the least work that fits is taken, what cannot fit is refused, and no bit of the training changes.
import { describe, expect, test } from "vitest";
import { description, ladderOf, trained } from "../../test/support/recomputed-gpt.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { forecast } from "./forecast.ts";
import { type StepDescription, StepGraphs } from "./step-graphs.ts";

const engine = new ReferenceEngine();

function planned(rest: Partial<StepDescription>, weigh = false) {
  const graphs = new StepGraphs(description(rest));
  const plans = graphs.compile(engine, { weigh });
  return { plans, ...forecast(graphs, plans, engine) };
}

const least = planned({ recompute: "full" }).memory.total;
const most = planned({}).memory.total;

test("each rung takes less memory than the one before it, and more work", () => {
  const { rungs } = ladderOf(engine);
  expect(rungs.length).toBeGreaterThan(4);
  const flops = rungs.map(({ plan }) => plan.nodes.reduce((sum, node) => sum + node.flops, 0));
  for (let at = 1; at < rungs.length; at++) {
    expect(rungs[at]!.plan.arenaBytes).toBeLessThan(rungs[at - 1]!.plan.arenaBytes);
    expect(flops[at]).toBeGreaterThan(flops[at - 1]!);
  }
  // a third of a step's work is its forward pass: no more can be computed twice
  expect(flops.at(-1)! / flops[0]!).toBeLessThan(1 + 1 / 3);
});

describe("a budget", () => {
  test("that holds everything changes nothing", () => {
    const { plans } = planned({ memoryBytes: most });
    expect(plans.recompute?.size).toBe(0);
  });

  test.each([0.1, 0.5, 0.9])("of %f between least and most is kept, by the fewest nodes", (share) => {
    const memoryBytes = Math.floor(least + share * (most - least));
    const { plans, memory } = planned({ memoryBytes }, true);
    expect(memory.total).toBeLessThanOrEqual(memoryBytes);
    const taken = plans.choices!.findIndex(({ isTaken }) => isTaken);
    expect(plans.choices!.filter(({ isTaken }) => isTaken)).toHaveLength(1);
    expect(plans.choices![taken]!.peakBytes).toBe(memory.total);
    expect(plans.choices![taken - 1]!.peakBytes).toBeGreaterThan(memoryBytes);
  });

  test("below the least is refused with what it would need, which then is enough", () => {
    let message = "";
    try {
      planned({ memoryBytes: least - 1 });
    } catch (error) {
      message = String(error);
    }
    expect(message).toMatch(/plan\/memory[\s\S]*at +memory[\s\S]*with all recomputed that helps[\s\S]*activations/);
    const needed = Number(/set memory to at least (\d+)MiB/.exec(message)![1]);
    expect(planned({ memoryBytes: needed * 2 ** 20 }).memory.total).toBeLessThanOrEqual(needed * 2 ** 20);
  });

  test("is refused without recomputation where it needs some, naming the knob", () => {
    expect(() => planned({ memoryBytes: least, recompute: "none" })).toThrow(/plan\/memory[\s\S]*recompute: auto/);
  });

  test("that evaluation alone exceeds names the knob of evaluation", () => {
    expect(() => planned({ memoryBytes: least, evalBatchSize: 64 })).toThrow(/plan\/memory[\s\S]*eval\.batch/);
  });
});

test("training with dropout gives the same bytes whatever is computed again", async () => {
  const plain = await trained(engine, { recompute: "none" });
  expect(await trained(engine, { memoryBytes: Math.floor((least + most) / 2) })).toEqual(plain);
  expect(await trained(engine, { recompute: "full" })).toEqual(plain);
});
