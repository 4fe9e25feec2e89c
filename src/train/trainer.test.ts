// The loop: what it calls and when, how it stops, and that a restored one goes on to the same numbers.
import { describe, expect, test } from "vitest";
import { lineBatches, lineData, lineState, lineTrainer, numRows } from "../../test/support/line.ts";
import { adamw, type BatchSizeConfig, createBatchSizes, namedSizes, plateauSchedule } from "../optim/index.ts";
import { evaluateAll } from "./evaluate.ts";
import type { Batch, Callback, StepReport, Trainer } from "./trainer.ts";

/** A callback that writes down its calls. */
function listener(): { calls: string[]; callback: Callback } {
  const calls: string[] = [];
  const note = (name: string) => (first: unknown, trainer?: Trainer) =>
    void calls.push(`${name} ${(trainer ?? (first as Trainer)).clock.step}`);
  return {
    calls,
    callback: {
      start: note("start"),
      step: note("step"),
      evaluation: note("evaluation"),
      checkpoint: note("checkpoint"),
      anomaly: note("anomaly"),
      end: (ending, trainer) => void calls.push(`${ending} ${trainer.clock.step}`),
    },
  };
}

const heldOut = () => lineBatches(5);

describe("the order of hooks", () => {
  test("evaluation before the checkpoint of its step, both at the end", async () => {
    const { calls, callback } = listener();
    const options = { steps: 5, evaluateEvery: 2, checkpointEvery: 2, heldOut, callbacks: [callback] };
    expect(await lineTrainer(options).run()).toBe("finished");
    expect(calls.join(", ")).toBe(
      "start 0, step 1, step 2, evaluation 2, checkpoint 2, step 3, step 4, evaluation 4, checkpoint 4, step 5, evaluation 5, checkpoint 5, finished 5",
    );
  });

  test.each([
    [0, "start 0, checkpoint 0, finished 0"],
    [2, "start 0, step 1, step 2, checkpoint 2, finished 2"],
  ])("%i steps without evaluations and checkpoints still save the end", async (steps, text) => {
    const { calls, callback } = listener();
    await lineTrainer({ steps, heldOut, callbacks: [callback] }).run();
    expect(calls.join(", ")).toBe(text);
  });

  test("an error in a hook ends the run with that error", async () => {
    const fault = new Error("of the user");
    const callback: Callback = {
      step: async ({ clock }) => {
        if (clock.step === 2) throw fault;
      },
    };
    const trainer = lineTrainer({ callbacks: [callback] });
    await expect(trainer.run()).rejects.toBe(fault);
    expect(trainer.clock.step).toBe(2);
  });
});

test("a report tells how long its step waited for data", async () => {
  const ready = lineData();
  const data = {
    ...ready,
    collate: async (rows: readonly number[]) => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      return ready.collate(rows);
    },
  };
  const reports: StepReport[] = [];
  await lineTrainer({ data, steps: 3, callbacks: [{ step: (report) => void reports.push(report) }] }).run();
  expect(reports).toHaveLength(3);
  for (const { waited, seconds } of reports) expect(waited).toBeLessThan(seconds);
  expect(reports[0]!.waited).toBeGreaterThan(0.035); // nothing was made ahead
});

describe("until", () => {
  test("pauses after its step, evaluated and saved, and the rest ends as if there had been no pause", async () => {
    const { calls, callback } = listener();
    const rate = ({ step }: { step: number }) => 0.1 * (1 - step / 8); // laid out on all steps
    const options = { steps: 8, evaluateEvery: 4, heldOut, learningRate: rate } as const;
    const first = lineTrainer({ ...options, until: 3, callbacks: [callback] });
    expect(await first.run()).toBe("paused");
    expect(calls.join(", ")).toBe("start 0, step 1, step 2, step 3, evaluation 3, checkpoint 3, paused 3");
    const second = lineTrainer({ ...options, until: 8 });
    moveState(first, second);
    expect(await second.run()).toBe("finished");
    const whole = lineTrainer(options);
    await whole.run();
    expect(lineState(second)).toEqual(lineState(whole));
    expect(second.state()).toEqual(whole.state());
  });

  test("a signal that fires meanwhile is told as such", async () => {
    const stop = new AbortController();
    const stopper: Callback = { step: ({ clock }) => void (clock.step === 2 && stop.abort()) };
    expect(await lineTrainer({ until: 3, signal: stop.signal, callbacks: [stopper] }).run()).toBe("interrupted");
  });
});

describe("what ends a run", () => {
  /** Norms of the gradients of a run of 8 steps. */
  const norms = async () => {
    const reports: StepReport[] = [];
    await lineTrainer({ callbacks: [{ step: (report) => void reports.push(report) }] }).run();
    return reports.map(({ gradNorm }) => gradNorm);
  };

  test("is a gradient within the tolerance, evaluated and saved; with a smaller one it goes on to the same numbers", async () => {
    const all = await norms();
    const tolerance = Math.min(...all.slice(0, 5));
    const step = all.indexOf(tolerance) + 1;
    const { calls, callback } = listener();
    const first = lineTrainer({ tolerance, heldOut, evaluateEvery: 100, callbacks: [callback] });
    expect(await first.run()).toBe("finished");
    expect([first.stopReason, first.clock.step]).toEqual(["tolerance", step]);
    expect(calls.slice(-3)).toEqual([`evaluation ${step}`, `checkpoint ${step}`, `finished ${step}`]);
    const again = lineTrainer({ tolerance });
    moveState(first, again);
    expect(await again.run()).toBe("finished");
    expect([again.stopReason, again.clock.step]).toEqual(["tolerance", step]);
    const further = lineTrainer({ tolerance: tolerance / 1e9 });
    moveState(first, further);
    const whole = lineTrainer();
    await Promise.all([further.run(), whole.run()]);
    expect(further.stopReason).toBe("steps");
    expect(lineState(further)).toEqual(lineState(whole));
  });

  test("is the time that it was given, over all its pieces", async () => {
    const first = lineTrainer({ maxSeconds: 1e-9 });
    expect(await first.run()).toBe("finished");
    expect([first.stopReason, first.clock.step]).toEqual(["time", 1]);
    const { seconds } = first.state();
    expect(seconds).toBeGreaterThan(0);
    const again = lineTrainer({ maxSeconds: seconds! }); // spent
    moveState(first, again);
    await again.run();
    expect([again.stopReason, again.clock.step]).toEqual(["time", 1]);
    const longer = lineTrainer({ maxSeconds: 1e9 });
    moveState(first, longer);
    await longer.run();
    expect([longer.stopReason, longer.clock.step]).toEqual(["steps", 8]);
  });
});

describe("the signal", () => {
  test("before the first step: nothing is trained, the beginning is saved", async () => {
    const { calls, callback } = listener();
    const ending = await lineTrainer({ signal: AbortSignal.abort(), callbacks: [callback] }).run();
    expect([ending, ...calls]).toEqual(["interrupted", "start 0", "checkpoint 0", "interrupted 0"]);
  });

  test("during a step: that step is finished and saved", async () => {
    const stop = new AbortController();
    const { calls, callback } = listener();
    const stopper: Callback = { step: ({ clock }) => void (clock.step === 3 && stop.abort()) };
    await lineTrainer({ signal: stop.signal, checkpointEvery: 100, callbacks: [stopper, callback] }).run();
    expect(calls.slice(-3)).toEqual(["step 3", "checkpoint 3", "interrupted 3"]);
  });

  test.each([4, 8])("during the evaluation of step %i of 8: it is made again when the run goes on", async (at) => {
    const stop = new AbortController();
    let batches = 0;
    async function* interrupted() {
      for await (const batch of lineBatches(5)) {
        if (++batches === (at === 4 ? 2 : 7)) stop.abort();
        yield batch;
      }
    }
    const options = { steps: 8, evaluateEvery: 4 } as const;
    const first = lineTrainer({ ...options, heldOut: interrupted, signal: stop.signal });
    expect([await first.run(), first.clock.step]).toEqual(["interrupted", at]);
    expect(first.lastEvaluation?.step).toBe(at === 4 ? undefined : 4);
    const { calls, callback } = listener();
    const second = lineTrainer({ ...options, heldOut, callbacks: [callback] });
    moveState(first, second);
    expect(await second.run()).toBe("finished");
    expect(calls[1]).toBe(`evaluation ${at}`);
    const whole = lineTrainer({ ...options, heldOut });
    await whole.run();
    expect(second.lastEvaluation).toEqual(whole.lastEvaluation);
  });
});

/** Through JSON, as a checkpoint does. */
function moveState(from: Trainer, to: Trainer): void {
  for (const name of from.programs.stateNames()) to.programs.store.write(name, from.programs.store.read(name));
  to.restore(JSON.parse(JSON.stringify(from.state())));
}

test("a restored run goes on to the same bytes, from every step, with dropout and a shuffled epoch's end between", async () => {
  const whole = lineTrainer({ steps: 9 });
  await whole.run();
  for (let cut = 0; cut <= 9; cut++) {
    const first = lineTrainer({ steps: cut });
    await first.run();
    const second = lineTrainer({ steps: 9 });
    moveState(first, second);
    await second.run();
    expect(lineState(second), `cut at ${cut}`).toEqual(lineState(whole));
    expect(second.state()).toEqual(whole.state());
  }
});

test("a plateau's rate is the same in a run that was stopped at any step, also after an evaluation of its own end", async () => {
  const schedule = plateauSchedule({ peak: 0.05, patience: 1, threshold: 0.5, cooldown: 1 });
  const rates: number[] = [];
  const options = {
    evaluateEvery: 3,
    heldOut,
    learningRate: schedule.at,
    callbacks: [{ step: ({ learningRate }: { learningRate: number }) => void rates.push(learningRate) }],
  };
  const whole = lineTrainer({ ...options, steps: 15 });
  await whole.run();
  const expected = rates.splice(0);
  expect(new Set(expected).size).toBeGreaterThan(2);
  for (let cut = 0; cut <= 15; cut++) {
    const first = lineTrainer({ ...options, steps: cut });
    await first.run();
    await first.evaluate();
    const second = lineTrainer({ ...options, steps: 15 });
    moveState(first, second);
    await second.run();
    expect(rates.splice(0), `cut at ${cut}`).toEqual(expected);
    expect(lineState(second), `cut at ${cut}`).toEqual(lineState(whole));
  }
});

test("a restored run does not save again what is saved", async () => {
  const first = lineTrainer({ steps: 4 });
  await first.run();
  const { calls, callback } = listener();
  const second = lineTrainer({ steps: 4, checkpointEvery: 2, callbacks: [callback] });
  moveState(first, second);
  await second.run();
  expect(calls).toEqual(["start 4", "finished 4"]);
});

describe("a step that is not finite", () => {
  const data = lineData(5);

  test("stops the run before the update and names the feed and the sample", async () => {
    const { calls, callback } = listener();
    const trainer = lineTrainer({ data, callbacks: [callback] });
    await expect(trainer.run()).rejects.toThrow(
      /train\/non-finite[\s\S]*feed "features", row \d of the batch \(sample \d+\)/,
    );
    expect(calls.at(-1)).toMatch(/^anomaly/);
    for (const values of Object.values(lineState(trainer))) expect(values.every(Number.isFinite)).toBe(true);
  });

  test("is left out by the policy skip, and the clock goes on", async () => {
    const { calls, callback } = listener();
    const trainer = lineTrainer({ data, steps: 4, onNonFinite: "skip", callbacks: [callback] });
    expect(await trainer.run()).toBe("finished");
    expect(calls.filter((call) => call.startsWith("anomaly"))).toHaveLength(1);
    expect(calls.filter((call) => call.startsWith("step"))).toHaveLength(4);
    expect(Number.isFinite(trainer.lastLoss)).toBe(true);
    for (const values of Object.values(lineState(trainer))) expect(values.every(Number.isFinite)).toBe(true);
  });
});

describe("steps left out", () => {
  /** Rows whose first `count` batches hold nothing but NaN. */
  function spoilt(count: number) {
    let batches = 0;
    const collate = async (rows: number[]) => {
      const batch = await lineData().collate(rows);
      if (batches++ < count) (batch.features!.data as Float64Array).fill(Number.NaN);
      return batch;
    };
    return { ...lineData(), collate };
  }
  const policy = { onNonFinite: "skip" } as const;

  test("are not counted by Adam: the first update that is made has the learning rate's length", async () => {
    const trainer = lineTrainer({ ...policy, data: spoilt(3), steps: 3 });
    await trainer.run();
    const before = lineState(trainer)["linear.bias"]![0]!;
    const next = lineTrainer({ ...policy, steps: 4 });
    moveState(trainer, next);
    await next.run();
    // Kingma & Ba 2015, algorithm 1: at t = 1 the corrected moments are g and g², so |Δ| = lr · |g| / (|g| + eps)
    expect(Math.abs(lineState(next)["linear.bias"]![0]! - before)).toBeCloseTo(0.05 / 4, 8);
  });

  test("do not keep a resumed run from the bytes of one that was never stopped", async () => {
    const options = { ...policy, data: lineData(5) }; // one batch of each epoch of 4
    const whole = lineTrainer({ ...options, steps: 9 });
    await whole.run();
    expect(whole.state().skips?.total).toBeGreaterThan(1);
    for (let cut = 0; cut <= 9; cut++) {
      const first = lineTrainer({ ...options, steps: cut });
      await first.run();
      const second = lineTrainer({ ...options, steps: 9 });
      moveState(first, second);
      await second.run();
      expect(lineState(second), `cut at ${cut}`).toEqual(lineState(whole));
      expect(second.state()).toEqual(whole.state());
    }
  });

  test("ten in a row stop the run with the diagnosis, also over a resume; nine do not", async () => {
    const patient = lineTrainer({ ...policy, data: spoilt(9), steps: 12 });
    expect(await patient.run()).toBe("finished");
    expect(patient.state().skips).toEqual({ total: 9, running: 0 });
    const first = lineTrainer({ ...policy, data: spoilt(100), steps: 6 });
    await first.run();
    const second = lineTrainer({ ...policy, data: spoilt(100), steps: 100 });
    moveState(first, second);
    await expect(second.run()).rejects.toMatchObject({
      code: "train/non-finite",
      what: "10 steps in a row were left out: no update is possible any more",
      got: expect.stringContaining('feed "features"'),
    });
    expect(second.clock.step).toBe(9);
  });
});

test.each([1, 2, 3, 6])("gradients of %i lanes are those of the whole batch", async (lanes) => {
  const evaluations = [];
  for (const count of [1, lanes]) {
    const trainer = lineTrainer({ lanes: count, steps: 6, evaluateEvery: 6, heldOut });
    await trainer.run();
    evaluations.push(trainer.lastEvaluation!.loss);
  }
  expect(evaluations[1]).toBeCloseTo(evaluations[0]!, 12);
});

test.each([
  [1, 2],
  [1, 4],
  [2, 3],
  [3, 2],
])("gradients of %i lanes of microbatches of %i rows are those of the whole batch", async (lanes, microbatch) => {
  const evaluations = [];
  for (const cut of [{ lanes: 1 }, { lanes, microbatch }]) {
    const trainer = lineTrainer({ batchSize: 12, ...cut, steps: 6, evaluateEvery: 6, heldOut });
    await trainer.run();
    evaluations.push(trainer.lastEvaluation!.loss);
  }
  expect(evaluations[1]).toBeCloseTo(evaluations[0]!, 12);
});

describe("batches that change", () => {
  const schedules: { [name: string]: BatchSizeConfig } = {
    ramp: { ramp: { from: 4, to: 12, over: 40, unit: "samples" } },
    staged: { staged: { sizes: [4, 12, 8], boundaries: [8, 50], unit: "samples" } },
    exponential: { exponential: { from: 16, to: 4, factor: 0.5, every: 2, unit: "steps" } },
    adaptive: { adaptive: { from: 4, to: 16, every: 12, smoothing: 0.5, unit: "samples" } },
  };

  /** Nine steps in microbatches of 2 rows, which tell their rows and clocks. */
  function varied(config: BatchSizeConfig, options: Parameters<typeof lineTrainer>[0] = {}) {
    const sizes = createBatchSizes(config, { multipleOf: 2 });
    const reports: StepReport[] = [];
    const note: Callback = { step: (report) => void reports.push(report) };
    const first = { lanes: 1, microbatch: 2, batchSize: namedSizes(config)[0]! };
    const trainer = lineTrainer({ steps: 9, ...first, batchSizes: sizes, callbacks: [note], ...options });
    return { trainer, reports };
  }

  test.each([
    ["ramp", "4 4 4 6 6 8 10 12 12"],
    ["staged", "4 4 12 12 12 12 8 8 8"],
    ["exponential", "16 16 8 8 4 4 4 4 4"],
  ])("a %s has %s rows, and every sample is drawn once, in order", async (name, rows) => {
    const { trainer, reports } = varied(schedules[name]!);
    const source = trainer.options.source as { next: (rows: number, ahead?: readonly number[]) => Promise<Batch> };
    const { next } = source;
    const ids: number[] = [];
    source.next = async (count, ahead) => {
      const batch = await next(count, ahead);
      ids.push(...(batch.rows!.data as Int32Array));
      return batch;
    };
    await trainer.run();
    expect(reports.map((report) => report.rows).join(" ")).toBe(rows);
    const total = reports.reduce((sum, report) => sum + report.rows, 0);
    expect(trainer.clock.samples).toBe(total);
    expect(ids).toEqual(Array.from({ length: total }, (_, id) => id));
  });

  test("one that adapts changes, by what it measured", async () => {
    const { trainer, reports } = varied(schedules.adaptive!);
    await trainer.run();
    expect(new Set(reports.map(({ rows }) => rows)).size).toBeGreaterThan(1);
    expect(trainer.state().batch!.variance).toBeGreaterThan(0);
  });

  test.each(Object.keys(schedules))("a run with a %s, stopped at any step, goes on to the same bytes", async (name) => {
    const whole = varied(schedules[name]!);
    await whole.trainer.run();
    for (let cut = 0; cut <= 9; cut++) {
      const first = varied(schedules[name]!, { steps: cut });
      await first.trainer.run();
      const second = varied(schedules[name]!);
      moveState(first.trainer, second.trainer);
      await second.trainer.run();
      expect(lineState(second.trainer), `cut at ${cut}`).toEqual(lineState(whole.trainer));
      expect(second.trainer.state()).toEqual(whole.trainer.state());
    }
  });

  test("the norms that a step tells of are those of its gradient and of its microbatches' gradients", async () => {
    const one = varied(schedules.adaptive!, { steps: 1 });
    await one.trainer.run();
    const squares: number[] = [];
    for (const part of [0, 1]) {
      // the same rows, each microbatch as a step of its own from the same weights
      const callback: Callback = { step: ({ gradNorm }) => void squares.push(gradNorm ** 2) };
      const alone = lineTrainer({ lanes: 1, batchSize: 2, steps: 1, callbacks: [callback] });
      for (let before = 0; before < part; before++) await alone.options.source.next(2);
      await alone.run();
    }
    const { noise, gradNorm } = one.reports[0]!;
    expect(noise!.small).toBeCloseTo((squares[0]! + squares[1]!) / 2, 12);
    expect(noise!.large).toBeCloseTo(gradNorm ** 2, 12);
  });
});

test("settings that change over a run do so in one that was stopped, too", async () => {
  const course = (from: number, to: number) => ({ linear: { from, to, start: 6, end: 42, unit: "samples" as const } });
  const changing = () => ({
    dropout: course(0, 0.5),
    optimizer: adamw({ betas: [course(0.5, 0.95), 0.999], weightDecay: course(0.3, 0) }),
  });
  const whole = lineTrainer({ ...changing(), steps: 9 });
  await whole.run();
  const still = lineTrainer({ steps: 9, dropout: 0, optimizer: adamw({ betas: [0.5, 0.999], weightDecay: 0.3 }) });
  await still.run();
  expect(lineState(still)).not.toEqual(lineState(whole));
  for (let cut = 0; cut <= 9; cut++) {
    const first = lineTrainer({ ...changing(), steps: cut });
    await first.run();
    const second = lineTrainer({ ...changing(), steps: 9 });
    moveState(first, second);
    await second.run();
    expect(lineState(second), `cut at ${cut}`).toEqual(lineState(whole));
  }
});

describe("evaluation", () => {
  test("is the mean over all rows, however they are cut into batches", async () => {
    const { weight, bias } = { weight: [0.5, -1], bias: 0.25 };
    const rows = await lineData().collate(Array.from({ length: numRows }, (_, row) => row));
    const x = rows.features!.data as Float64Array;
    const differences = Array.from(
      rows.targets!.data as Float64Array,
      (y, row) => x[2 * row]! * weight[0]! + x[2 * row + 1]! * weight[1]! + bias - y,
    );
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / numRows;
    for (const evalBatchSize of [1, 5, 7, 24, 30]) {
      const { programs } = lineTrainer({ evalBatchSize });
      programs.store.write("linear.weight", { dtype: "f64", shape: [2, 1], data: Float64Array.from(weight) });
      programs.store.write("linear.bias", { dtype: "f64", shape: [1], data: Float64Array.of(bias) });
      const result = await evaluateAll(programs, lineBatches(evalBatchSize));
      expect(result.count).toBe(numRows);
      expect(result.loss).toBeCloseTo(mean(differences.map((one) => one ** 2)), 12);
      expect(result.metrics.meanAbsoluteError).toBeCloseTo(mean(differences.map(Math.abs)), 12);
      expect(result.perplexity).toBeUndefined();
    }
  });

  test("tells errors in the units that targets had before they were scaled", async () => {
    const plain = await evaluateAll(lineTrainer().programs, lineBatches(5));
    const scaled = await evaluateAll(lineTrainer({ targetScale: 10 }).programs, lineBatches(5));
    expect(scaled.loss).toBeCloseTo(100 * plain.loss, 9);
    expect(scaled.metrics.meanAbsoluteError).toBeCloseTo(10 * plain.metrics.meanAbsoluteError!, 10);
    const losses: number[] = [];
    for (const targetScale of [1, 10]) {
      const trainer = lineTrainer({ targetScale, steps: 1 });
      await trainer.run();
      losses.push(trainer.lastLoss);
    }
    expect(losses[1]).toBeCloseTo(100 * losses[0]!, 9);
  });

  test("of nothing is an error", async () => {
    await expect(evaluateAll(lineTrainer().programs, [])).rejects.toThrow(/eval\/empty/);
  });
});

test("a number of steps that is none is refused", () => {
  for (const steps of [-1, 1.5, Number.NaN]) expect(() => lineTrainer({ steps })).toThrow(/config\/steps/);
});

describe("early stopping", () => {
  /** Held-out rows of the opposite line: the better the fit of the training, the worse they are predicted. */
  async function* opposite() {
    for await (const { features, targets } of lineBatches(5)) {
      const data = (targets.data as Float64Array).map((value) => -value);
      yield { features, targets: { ...targets, data } };
    }
  }

  /** A trainer that keeps the states it is asked to save, and goes back to them. */
  function stopping(options: Parameters<typeof lineTrainer>[0] = {}) {
    const saved = new Map<number, ReturnType<typeof lineState>>();
    const { calls, callback } = listener();
    const keep: Callback = { checkpoint: (trainer) => void saved.set(trainer.clock.step, lineState(trainer)) };
    const trainer: Trainer = lineTrainer({
      steps: 20,
      evaluateEvery: 2,
      patience: 3,
      heldOut: opposite,
      learningRate: () => 0.05,
      callbacks: [callback, keep],
      restoreStep: async (step) => {
        calls.push(`restore ${step}`);
        const { store } = trainer.programs;
        for (const [name, values] of Object.entries(saved.get(step)!)) {
          const { dtype, shape } = store.typeOf(name);
          store.write(name, { dtype: dtype as "f64", shape, data: Float64Array.from(values) });
        }
      },
      ...options,
    });
    return { trainer, saved, calls };
  }

  test("ends after so many evaluations without a lower loss, with the state and the loss of the best", async () => {
    const { trainer, saved, calls } = stopping();
    const losses: number[] = [];
    const noted: Callback = { evaluation: ({ loss }) => void losses.push(loss) };
    (trainer.options.callbacks as Callback[]).push(noted);
    expect(await trainer.run()).toBe("finished");
    expect(calls.filter((call) => !call.startsWith("step")).join(", ")).toBe(
      "start 0, evaluation 2, checkpoint 2, evaluation 4, evaluation 6, evaluation 8, restore 2, evaluation 8, checkpoint 8, finished 8",
    );
    expect(losses[1]).toBeGreaterThan(losses[0]!);
    expect(losses[4]).toBe(losses[0]);
    expect(lineState(trainer)).toEqual(saved.get(2));
    expect(trainer.lastEvaluation).toMatchObject({ step: 8, loss: losses[0] });
  });

  test("a run whose steps are done ends with its best too, and one that is at its best stays there", async () => {
    const { trainer, saved, calls } = stopping({ steps: 5, patience: 10 });
    await trainer.run();
    expect(calls.slice(-4)).toEqual(["restore 2", "evaluation 5", "checkpoint 5", "finished 5"]);
    expect(lineState(trainer)).toEqual(saved.get(2));
    const improving = stopping({ steps: 5, patience: 10, heldOut });
    await improving.trainer.run();
    expect(improving.calls.join(", ")).not.toContain("restore");
    expect(improving.calls.slice(-3)).toEqual(["evaluation 5", "checkpoint 5", "finished 5"]);
  });

  test.each(["step 5", "step 8", "evaluation 8", "restore 2"])(
    "a run that was stopped at %s and goes on stops where it would have, with what it would have saved",
    async (cut) => {
      const whole = stopping();
      await whole.trainer.run();
      const stop = new AbortController();
      const first = stopping({ signal: stop.signal });
      const push = first.calls.push.bind(first.calls);
      first.calls.push = (call) => {
        if (call === cut) stop.abort();
        return push(call);
      };
      expect(await first.trainer.run()).toBe("interrupted");
      const second = stopping();
      for (const [step, state] of first.saved) second.saved.set(step, state);
      const { store } = second.trainer.programs;
      for (const [name, values] of Object.entries(lineState(first.trainer)))
        store.write(name, { dtype: "f64", shape: store.typeOf(name).shape, data: Float64Array.from(values) });
      second.trainer.restore(first.trainer.state());
      expect(await second.trainer.run()).toBe("finished");
      expect(second.trainer.clock.step).toBe(8);
      expect(lineState(second.trainer)).toEqual(lineState(whole.trainer));
      expect(second.saved.get(8)).toEqual(whole.saved.get(8));
      expect(second.trainer.lastEvaluation).toEqual(whole.trainer.lastEvaluation);
    },
  );
});
