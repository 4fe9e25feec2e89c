// Draws the figures of docs/guide/strategies.md from trainings made here, in f64 on the reference engine: the same files each time.
//
//   node scripts/guide-figures.mjs [FOLDER]      default: docs/guide/figures; needs dist/
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as athanor from "../dist/index.js";

const {
  adam,
  adamw,
  binaryCrossEntropy,
  dense,
  dropout,
  evaluate,
  fit,
  Linear,
  NumpyRandom,
  parseSchedule,
  RandomStream,
} = athanor;
const { huberLoss, initialize, logCoshLoss, meanAbsoluteError, meanSquaredError, rmsprop, sequential, sgd } = athanor;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2] ?? join(root, "docs/guide/figures");
mkdirSync(folder, { recursive: true });

const colours = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"];
const [width, height, left, right, top, bottom] = [560, 260, 60, 150, 20, 40];

/** Lines over one pair of axes. `lines` are { name, points: [x, y][] }; y may be logarithmic. */
function draw(file, { x, y, logY = false, lines }) {
  const all = lines.flatMap(({ points }) => points);
  const scale = logY ? Math.log10 : (value) => value;
  const [x0, x1] = [Math.min(...all.map(([at]) => at)), Math.max(...all.map(([at]) => at))];
  const values = all.map(([, value]) => scale(value));
  const [y0, y1] = [Math.min(...values), Math.max(...values)];
  const px = (at) => (left + ((at - x0) / (x1 - x0)) * (width - left - right)).toFixed(1);
  const py = (value) => (height - bottom - ((scale(value) - y0) / (y1 - y0)) * (height - top - bottom)).toFixed(1);
  const tick = (value) => {
    const shown = Number((logY ? 10 ** value : value).toPrecision(2));
    return shown >= 1e5 ? shown.toExponential() : String(shown);
  };
  const text = (at, up, words, anchor = "middle") =>
    `<text x="${at}" y="${up}" text-anchor="${anchor}">${words}</text>`;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<title>${file}: ${y} against ${x}</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<path d="M${left} ${top}V${height - bottom}H${width - right}" fill="none" stroke="#888"/>`,
    text(left, height - bottom + 14, x0),
    text(width - right, height - bottom + 14, x1),
    text((left + width - right) / 2, height - 8, x),
    text(left - 4, height - bottom, tick(y0), "end"),
    text(left - 4, top + 4, tick(y1), "end"),
    text(left, top - 8, y),
    ...lines.flatMap(({ name, points }, at) => [
      `<path d="M${points.map(([a, b]) => `${px(a)} ${py(b)}`).join("L")}" fill="none" stroke="${colours[at]}" stroke-width="1.5"/>`,
      `<text x="${width - right + 8}" y="${top + 12 + 16 * at}" fill="${colours[at]}">${name}</text>`,
    ]),
    "</svg>",
  ];
  writeFileSync(join(folder, `${file}.svg`), `${parts.join("\n")}\n`);
}

/** Mean losses before the first epoch and after each. */
async function course(model, data, options, test = data) {
  const all = { precision: "f64", loss: meanSquaredError, ...options };
  const points = [[0, await (await fit(model, data, { ...all, epochs: 0 })).evaluate(test)]];
  for await (const { epoch, model: now } of fit(model, data, all)) points.push([epoch, await now.evaluate(test)]);
  return points;
}

const random = new RandomStream(1, "rows");
const rows = Array.from({ length: 256 }, (_, row) => [random.normal(row)]);
const line = { x: rows, y: rows.map(([x], row) => [2 * x + 1 + 0.3 * random.normal(row, 1)]) };
const zero = { weight: [[0]], bias: [0] };

const forms = { "all rows": "all", "16 rows": 16, "1 row": 1 };
draw("forms", {
  x: "passes over the data",
  y: "loss",
  logY: true,
  lines: await Promise.all(
    Object.entries(forms).map(async ([name, batch]) => ({
      name,
      points: await course(new Linear(1, 1), line, {
        optimizer: sgd({ lr: 0.02 }),
        batch,
        epochs: 20,
        parameters: zero,
      }),
    })),
  ),
});

// mean squared error of features of very different size: condition number 100
const steep = {
  x: [
    [Math.sqrt(2), 0],
    [0, Math.sqrt(2) / 10],
  ],
  y: [[0], [0]],
};
const root2 = (value) => Math.sqrt(value);
const [largest, least] = [2, 0.02];
const best = ((root2(largest) - root2(least)) / (root2(largest) + root2(least))) ** 2;
const tuned = {
  "plain, at its best": sgd({ lr: 2 / (largest + least) }),
  "momentum, at its best": sgd({ lr: 4 / (root2(largest) + root2(least)) ** 2, momentum: best }),
};
draw("momentum", {
  x: "steps",
  y: "loss",
  logY: true,
  lines: await Promise.all(
    Object.entries(tuned).map(async ([name, optimizer]) => {
      const start = { weight: [[1], [1]] };
      const model = new Linear(2, 1, { bias: false });
      return { name, points: await course(model, steep, { optimizer, batch: "all", epochs: 150, parameters: start }) };
    }),
  ),
});

const rates = {
  fixed: 0.05,
  step: { step: { peak: 0.1, factor: 0.5, every: 100 } },
  exponential: { exponential: { peak: 0.1, factor: 0.5, every: 100 } },
  cosine: { cosine: { peak: 0.1, warmup: 50 } },
  "one cycle": { oneCycle: { peak: 0.1 } },
};
draw("rates", {
  x: "steps",
  y: "rate",
  lines: Object.entries(rates).map(([name, config]) => {
    const schedule = parseSchedule(config, { steps: 500 });
    const clock = (step) => ({ step, samples: step, tokens: step, epoch: step });
    return { name, points: Array.from({ length: 251 }, (_, at) => [2 * at, schedule.at(clock(2 * at))]) };
  }),
});

draw("losses", {
  x: "error",
  y: "loss",
  lines: Object.entries({
    squared: meanSquaredError,
    absolute: meanAbsoluteError,
    "Huber, 1": huberLoss,
    "log cosh": logCoshLoss,
  }).map(([name, loss]) => {
    const errors = Array.from({ length: 61 }, (_, at) => (at - 30) / 10);
    const values = evaluate((p, t) => loss(p, t, { reduction: "none" }), { p: errors, t: errors.map(() => 0) }).data;
    return { name, points: errors.map((error, at) => [error, values[at]]) };
  }),
});

const numpy = new NumpyRandom(0);
const inputs = Array.from({ length: 128 }, () => numpy.randn(10));
const product = { x: inputs, y: inputs.map(([a, b]) => [a * b]) };
const rules = {
  SGD: sgd({ lr: 0.01 }),
  momentum: sgd({ lr: 0.01, momentum: 0.9 }),
  RMSprop: rmsprop({ lr: 0.01 }),
  Adam: adam({ lr: 0.01 }),
  AdamW: adamw({ lr: 0.01, weightDecay: 0.1 }),
};
draw("optimizers", {
  x: "steps on all rows",
  y: "loss",
  logY: true,
  lines: await Promise.all(
    Object.entries(rules).map(async ([name, optimizer]) => {
      const net = sequential([dense(20, "relu"), dense(1)]);
      return { name, points: await course(net, product, { optimizer, batch: "all", epochs: 200 }) };
    }),
  ),
});

// 60 rows of 20 features, of which three decide and a sixth of the answers are wrong
const draws = new RandomStream(2, "overfit");
const drawn = (count, from) =>
  Array.from({ length: count }, (_, at) => {
    const x = Array.from({ length: 20 }, (_, i) => draws.normal(i, from + at));
    return { x, y: [Number(x[0] + x[1] - x[2] > 0 !== draws.uniform(100, from + at) < 1 / 6)] };
  });
const sample = (list) => ({ x: list.map(({ x }) => x), y: list.map(({ y }) => y) });
const [few, others] = [sample(drawn(60, 0)), sample(drawn(1000, 1000))];
const nets = {
  none: [sequential([dense(32, "relu"), dense(1)]), { lr: 0.01 }],
  "l2 0.03": [sequential([dense(32, "relu"), dense(1)]), { lr: 0.01, l2: 0.03 }],
  "dropout 0.6": [sequential([dense(32, "relu"), dropout(0.6), dense(1)]), { lr: 0.01 }],
  "no hidden layer": [sequential([dense(1)]), { lr: 0.01 }],
};
draw("regularization", {
  x: "passes over 60 rows",
  y: "test loss",
  lines: await Promise.all(
    Object.entries(nets).map(async ([name, [net, settings]]) => ({
      name,
      points: await course(
        net,
        few,
        { loss: binaryCrossEntropy, optimizer: adam(settings), batch: 20, epochs: 60 },
        others,
      ),
    })),
  ),
});

const width0 = 64;
const starts = {
  "He's": "heNormal",
  "LeCun's": "lecunNormal",
  "deviation 0.1": { name: "normal", std: 0.1 },
  "deviation 0.3": { name: "normal", std: 0.3 },
};
draw("init", {
  x: "layer with a rectifier",
  y: "mean square",
  logY: true,
  lines: Object.entries(starts).map(([name, init]) => {
    const stream = new RandomStream(3, "inputs");
    let x = Array.from({ length: width0 }, (_, at) => stream.normal(at));
    const points = [];
    for (let layer = 0; layer < 30; layer++) {
      const { data } = initialize(init, `${layer}.weight`, [width0, width0], "f64", 1);
      const sums = x.map((_, out) => x.reduce((sum, value, i) => sum + Math.max(value, 0) * data[i * width0 + out], 0));
      points.push([layer + 1, sums.reduce((sum, value) => sum + value ** 2, 0) / width0]);
      x = sums;
    }
    return { name, points };
  }),
});

const sizes = [1, 4, 16, 64, 256];
draw("batch", {
  x: "passes over the data",
  y: "loss",
  logY: true,
  lines: await Promise.all(
    sizes.map(async (batch) => {
      const optimizer = sgd({ lr: 0.02 * Math.sqrt(batch) });
      return {
        name: `${batch} ${batch === 1 ? "row" : "rows"}, rate ${0.02 * Math.sqrt(batch)}`,
        points: await course(new Linear(1, 1), line, { optimizer, batch, epochs: 10, parameters: zero }),
      };
    }),
  ),
});
