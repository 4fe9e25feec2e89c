// Few rows by int8 weights, which have a way of their own in the native engine: against the product with the matrix that the codes stand for.
import { expect, test } from "vitest";
import { fromNumbers, RandomStream } from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import { dequantize, quantize, quantizedMatmul, trace } from "../../src/core/index.ts";
import { nativeEngine } from "../support/run-native.ts";

const engine = nativeEngine(2);
const random = new RandomStream(3, "test");
const numbers = (shape: readonly number[], from: number) => {
  const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => random.normal(from + i));
  return fromNumbers("f32", shape, values);
};

// widths that are no multiple of a vector, outputs that are no multiple of four, and enough of both for several chunks
test.skipIf(engine === undefined).each([1, 2, 3, 4, 5])("%i rows", async (rows) => {
  for (const [inputs, outputs] of [
    [7, 5],
    [33, 9],
    [768, 770],
    [1031, 3],
  ] as const) {
    const [x, weight] = [numbers([rows, inputs], 0), numbers([inputs, outputs], 1e6)];
    const { codes, scales } = quantize("int8", weight);
    const whole = dequantize({ codes, scales }).data as Float32Array;
    const feeds = { x, codes, scales };
    const graph = trace(feeds, ({ x, codes, scales }) => ({ y: quantizedMatmul(x, { codes, scales }) }));
    const program = engine!.load(compile(graph, engine!.target), engine!.createStore());
    const [run] = await engine!.run([{ program, feeds }]);
    const y = run!.outputs.y!.data as Float32Array;
    for (let at = 0; at < rows * outputs; at++) {
      const [row, column] = [Math.floor(at / outputs), at % outputs];
      let sum = 0;
      for (let k = 0; k < inputs; k++)
        sum += (x.data as Float32Array)[row * inputs + k]! * whole[k * outputs + column]!;
      expect(Math.abs(y[at]! - sum), `${inputs} × ${outputs}, ${row}, ${column}`).toBeLessThan(
        2e-6 * Math.sqrt(inputs),
      );
    }
  }
});
