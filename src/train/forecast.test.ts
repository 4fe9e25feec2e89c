// The forecast counts what the store really holds, and a run that cannot fit is refused with the knob that helps.
import { expect, test } from "vitest";
import { lineTrainer } from "../../test/support/line.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { forecast, requireMemory } from "./forecast.ts";

function lineForecast(lanes: number) {
  const { programs } = lineTrainer({ lanes });
  const engine = new ReferenceEngine();
  return { programs, planned: forecast(programs.graphs, programs.graphs.compile(engine), engine) };
}

test.each([1, 2, 3, 6])("parameters, slots and gradients of %i lanes are the bytes of the store", (lanes) => {
  const { programs, planned } = lineForecast(lanes);
  const { parameters, gradients, slots, total, activations, workspace, host } = planned.memory;
  expect(parameters).toBe(3 * 8); // two weights and a bias in f64
  expect(slots).toBe(2 * parameters);
  expect(parameters + gradients + slots).toBe(programs.store.bytes);
  expect(total).toBe(parameters + gradients + slots + activations + workspace + host);
  expect(planned).toMatchObject({ numParameters: 3, itemsPerStep: 6, checkpointBytes: 72 });
  expect(planned.parametersByModule).toEqual([{ module: "linear", count: 3 }]);
});

test("a run that does not fit is refused with its bytes by owner", () => {
  const { planned } = lineForecast(1);
  expect(() => requireMemory(planned, { bytes: planned.memory.total, by: "a test" })).not.toThrow();
  expect(() => requireMemory(planned, { bytes: planned.memory.total - 1, by: "a test" })).toThrow(
    /plan\/memory[\s\S]*: a test[\s\S]*parameters +24 B[\s\S]*batch\.size/,
  );
  expect(() => requireMemory(planned, { bytes: 10, by: "a test" })).toThrow(/smaller model/);
  const least = `fix       set memory to at least ${Math.ceil(planned.memory.total / 2 ** 20)}MiB`;
  expect(() => requireMemory(planned, { bytes: planned.memory.host, by: "a test" }, "auto")).toThrow(least);
});
