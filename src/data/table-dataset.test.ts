// From a table to features and targets: figures of scikit-learn, policies, refusals, types.
import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import { sliceBatch } from "./batch.ts";
import { prepareTable, type TableOptions } from "./table-dataset.ts";
import { TableEncoder } from "./table-encoder.ts";

const all = { validation: 0 } as const;

describe("encoding", () => {
  it("standardizes, imputes and one-hot encodes as scikit-learn 1.9.1 does", async () => {
    // StandardScaler and OneHotEncoder on x = [1.5, 2.5, 4, -1], y = [10, nan, 30, 20]
    const csv = "x,y,colour,label\n1.5,10,red,a\n2.5,?,blue,b\n4,30,red,a\n-1,20,green,b\n";
    const { train, encoder, report } = await prepareTable({ csv }, all);
    expect(encoder.featureNames).toEqual(["x", "y", "colour=blue", "colour=green", "colour=red", "colour is new"]);
    const expected = [
      [-0.13736056394868904, -1.224744871391589, 0, 0, 1, 0],
      [0.4120816918460671, 0, 1, 0, 0, 0],
      [1.2362450755382015, 1.224744871391589, 0, 0, 1, 0],
      [-1.5109662034355793, 0, 0, 1, 0, 0],
    ];
    expect([...train.features]).toEqual(expected.flat().map(Math.fround));
    expect([...train.targets]).toEqual([0, 1, 0, 1]);
    expect(encoder.classNames).toEqual(["a", "b"]);
    expect(report.imputed).toEqual({ y: 1 });
    expect(train.sourceRows).toEqual([2, 3, 4, 5]);
  });

  it("learns from the training part alone", async () => {
    const records = Array.from({ length: 100 }, (_, i) => ({
      x: i,
      kind: `k${i % 3}`,
      y: i % 2 === 0 ? "even" : "odd",
    }));
    const { train, validation, encoder, report } = await prepareTable({ records }, { validation: 0.3, seed: 2 });
    const rows = train.sourceRows.map((row) => records[row - 1].x);
    const mean = rows.reduce((a, b) => a + b) / rows.length;
    const feature = encoder.data.features[0];
    expect(feature).toMatchObject({ kind: "number", name: "x" });
    if (feature.kind === "number") expect(feature.mean).toBeCloseTo(mean, 12);
    expect([train.length, validation.length]).toEqual([70, 30]);
    expect(report.unseen).toEqual({});
    const column = Array.from({ length: train.length }, (_, i) => train.features[i * train.numFeatures]);
    expect(column.reduce((a, b) => a + b) / 70).toBeCloseTo(0, 6);
    expect(column.reduce((a, b) => a + b * b, 0) / 70).toBeCloseTo(1, 5);
  });

  it("encodes a row for prediction exactly as it was encoded for training, also after JSON", async () => {
    const records = Array.from({ length: 60 }, (_, i) => ({
      age: i % 7 === 0 ? null : 20 + i,
      job: ["clerk", "cook", null][i % 3] as string | null,
      member: i % 2 === 0,
      bought: i % 5 === 0,
    }));
    const { train, encoder } = await prepareTable({ records }, { target: "bought", validation: 0.2 });
    const reloaded = TableEncoder.fromJSON(JSON.parse(JSON.stringify(encoder)));
    train.sourceRows.forEach((row, i) => {
      const { bought: _, ...rest } = records[row - 1];
      const expected = train.features.slice(i * train.numFeatures, (i + 1) * train.numFeatures);
      expect(encoder.encodeRow(rest)).toEqual(expected);
      expect(reloaded.encodeRow(records[row - 1])).toEqual(expected);
    });
    expect(encoder.featureNames).toEqual(["age", "job=clerk", "job=cook", "job is missing", "job is new", "member"]);
    expect([...encoder.encodeRow({ age: 30, job: "judge", member: true })].slice(1, 5)).toEqual([0, 0, 0, 1]);
    expect([...encoder.encodeRow({ age: null, job: null, member: true })].slice(1, 5)).toEqual([0, 0, 1, 0]);
    expect(encoder.classNames).toEqual(["false", "true"]);
  });

  it("bins hold equal shares, a value of more than its share alone; within a bin features are lines", async () => {
    const records = [...Array<number>(12).fill(0), 1, 2, 3, 4, 5, 6, 7, 8].map((x, row) => ({ x, y: row % 2 === 0 }));
    const { encoder } = await prepareTable({ records }, { ...all, bins: 5 });
    expect(encoder.data.features).toMatchObject([{ kind: "number", name: "x", edges: [0, 0.5, 2.5, 4.5, 6.5, 8] }]);
    expect(encoder.featureNames.slice(0, 3)).toEqual(["x", "x from 0 to 0.5", "x from 0.5 to 2.5"]);
    expect([...encoder.encodeRow({ x: 3 }).subarray(1)]).toEqual([1, 1, 0.25, 0, 0]);
    expect([...encoder.encodeRow({ x: -9 }).subarray(1)]).toEqual([0, 0, 0, 0, 0]);
    expect([...encoder.encodeRow({ x: 99 }).subarray(1)]).toEqual([1, 1, 1, 1, 1]);
    const [whole, mean] = [encoder.encodeRow({}), encoder.encodeRow({ x: 1.8 })]; // 36 / 20
    whole.forEach((value, at) => expect(value).toBeCloseTo(mean[at]!, 6));
    expect(TableEncoder.fromJSON(JSON.parse(JSON.stringify(encoder))).encodeRow({ x: 3 })).toEqual(
      encoder.encodeRow({ x: 3 }),
    );
  });

  it("bins of any numbers add up to the number", async () => {
    const numbers = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 3, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(numbers, fc.integer({ min: 2, max: 9 }), async (values, bins) => {
        fc.pre(Math.max(...values) - Math.min(...values) > 1e-3);
        const records = values.map((x, row) => ({ x, y: row % 2 === 0 }));
        const { encoder } = await prepareTable({ records }, { ...all, bins });
        const [feature] = encoder.data.features;
        const edges = feature!.kind === "number" ? feature!.edges! : [];
        expect(edges.length).toBeLessThanOrEqual(bins + 1);
        for (const x of values) {
          const shares = encoder.encodeRow({ x }).subarray(1);
          const sum = shares.reduce((total, share, at) => total + share * (edges[at + 1]! - edges[at]!), edges[0]!);
          expect(Math.abs(sum - x)).toBeLessThanOrEqual(1e-6 * (edges.at(-1)! - edges[0]!));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("types follow from the data", async () => {
    const records: { size: number; kind: "cat" | "dog"; good: boolean }[] = [
      { size: 1, kind: "cat", good: true },
      { size: 2, kind: "dog", good: false },
    ];
    const { encoder, classNames } = await prepareTable({ records }, { target: "kind", validation: 0 });
    expectTypeOf(classNames).toEqualTypeOf<readonly ("cat" | "dog")[]>();
    encoder.encodeRow({ size: 1, good: true });
    // @ts-expect-error a column that the records do not have
    expect(() => encoder.encodeRow({ size: 1, good: true, colour: "red" })).toThrow("[data/unknown-column]");
    // @ts-expect-error a column of numbers
    expect(() => encoder.encodeRow({ size: "tall", good: true })).toThrow("[data/type]");
    // @ts-expect-error no such target
    await expect(prepareTable({ records }, { target: "kid" })).rejects.toThrow("did you mean kind?");
  });

  it("regression keeps the target's units, or scales and unscales it", async () => {
    const csv = "x,y\n1,100\n2,300\n3,200\n";
    const plain = await prepareTable({ csv }, all);
    expect(plain.encoder.task).toBe("regression");
    expect([...plain.train.targets]).toEqual([100, 300, 200]);
    const scaled = await prepareTable({ csv }, { ...all, standardizeTarget: true });
    expect([...scaled.train.targets].map((value) => scaled.encoder.decodeTarget(value))).toEqual(
      [100, 300, 200].map((value) => expect.closeTo(value, 4)),
    );
  });

  it("class ids follow numbers by value; the target may stand anywhere", async () => {
    const csv = "grade,x\n10,1\n9,2\n10,3\n8,4\n";
    const { train, encoder } = await prepareTable({ csv }, { ...all, target: 0, task: "classification" });
    expect(encoder.classNames).toEqual(["8", "9", "10"]);
    expect([...train.targets]).toEqual([2, 1, 2, 0]);
  });

  it("collates rows in the order asked for", async () => {
    const { train } = await prepareTable({ csv: "x,y\n1,a\n2,b\n3,a\n4,b\n" }, all);
    const batch = train.collate([3, 0, 3]);
    expect(batch.features.shape).toEqual([3, 1]);
    expect([...batch.features.data]).toEqual([train.features[3], train.features[0], train.features[3]]);
    expect([...batch.targets.data]).toEqual([1, 0, 1]);
    expect([...sliceBatch(batch, 1, 3).targets.data]).toEqual([0, 1]);
  });

  it("any table of numbers and words round-trips through records and CSV alike", async () => {
    const row = fc.record({
      a: fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }),
      b: fc.constantFrom("x", "y", "z w", '"q"'),
      label: fc.constantFrom("是", "否"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 12, maxLength: 40 }), async (random) => {
        const rows = [...random, { a: 0, b: "x", label: "是" }, { a: 1, b: "y", label: "否" }];
        const csv = `a,b,label\n${rows.map(({ a, b, label }) => `${a},"${b.replaceAll('"', '""')}",${label}`).join("\n")}`;
        const fromCsv = await prepareTable({ csv }, all);
        const fromRecords = await prepareTable({ records: rows }, all);
        expect(fromCsv.train.features).toEqual(fromRecords.train.features);
        expect(fromCsv.train.targets).toEqual(fromRecords.train.targets);
      }),
      { numRuns: 50 },
    );
  });
});

describe("policies and refusals", () => {
  const good = "x,kind,y\n1,a,p\n2,b,q\n3,a,p\n4,b,q\n";
  const cases: [string, string, TableOptions, string, string][] = [
    ["NaN feature", "x,y\n1,a\nNaN,b\n2,a\n", all, "data/not-finite", "row 3, column x"],
    ["infinite feature", "x,y\n1,a\n-inf,b\n2,a\n", all, "data/not-finite", "row 3, column x"],
    ["missing refused", "x,y\n1,a\n,b\n2,a\n", { ...all, missing: "error" }, "data/missing", "row 3, column x"],
    ["missing category", "k,y\na,1\n?,2\nb,3\n", { ...all, missing: "error" }, "data/missing", "row 3, column k"],
    ["missing label", "x,y\n1,a\n2,\n3,b\n", all, "data/label-missing", "row 3, column y"],
    ["NaN label", "x,y\n1,1\n2,NaN\n3,3\n", all, "data/not-finite", "row 3, column y"],
    ["NaN class", "x,y\n1,1\n2,NaN\n3,3\n", { ...all, task: "classification" }, "data/not-finite", "row 3, column y"],
    ["one class", "x,y\n1,a\n2,a\n", all, "data/one-class", "column y"],
    ["constant columns only", "x,y\n1,a\n1,b\n", all, "data/constant-column", ""],
    ["constant refused", "x,c,y\n1,7,a\n2,7,b\n", { ...all, constant: "error" }, "data/constant-column", ""],
    ["unknown target", good, { target: "yy" as never }, "data/unknown-column", ""],
    ["target index", good, { target: 7 }, "data/unknown-column", ""],
    ["unknown typed column", good, { columns: { z: "number" } }, "data/unknown-column", ""],
    ["declared number", good, { ...all, columns: { kind: "number" } }, "data/type", "row 2, column kind"],
    ["declared boolean", good, { ...all, columns: { kind: "boolean" } }, "data/type", "row 2, column kind"],
    ["words for regression", good, { ...all, task: "regression" }, "data/not-finite", "row 2, column y"],
    ["too few rows", "x,y\n1,a\n2,b\n", { validation: 0.1 }, "data/split", "validation"],
    [
      "a typo among numbers",
      `x,y\n${Array.from({ length: 40 }, (_, i) => `${i === 20 ? "12a" : i},${i % 2}`).join("\n")}`,
      all,
      "data/mixed-column",
      "row 22, column x",
    ],
    [
      "free text",
      `t,y\n${Array.from({ length: 60 }, (_, i) => `sentence ${i},${i % 2}`).join("\n")}`,
      all,
      "data/text-column",
      "",
    ],
    [
      "an identifier as target",
      `x,y\n${Array.from({ length: 60 }, (_, i) => `${i},id-${i}`).join("\n")}`,
      all,
      "data/text-column",
      "column y",
    ],
    [
      "numbers as too many classes",
      `x,y\n${Array.from({ length: 2000 }, (_, i) => `${i},${i}`).join("\n")}`,
      { ...all, task: "classification" },
      "data/too-many-classes",
      "column y",
    ],
    ["huge spread", "x,y\n1e308,a\n-1e308,b\n0,a\n", all, "data/range", "column x"],
  ];
  it.each(cases)("%s", async (_, csv, options, code, where) => {
    const error = await prepareTable({ csv }, options).catch((thrown) => thrown);
    expect(error).toMatchObject({ code });
    if (where !== "") expect(error.where).toContain(where);
  });

  it("policies let the same data pass", async () => {
    const nan = await prepareTable({ csv: "x,y\n1,a\nNaN,b\n2,a\n" }, { ...all, notFinite: "missing" });
    expect(nan.train.features[1]).toBe(0);
    const dropped = await prepareTable({ csv: "x,y\n1,a\n?,b\n2,a\n3,b\n" }, { ...all, missing: "drop" });
    expect([dropped.train.length, dropped.report.droppedRows]).toEqual([3, 1]);
    const unlabelled = await prepareTable({ csv: "x,y\n1,a\n2,?\n3,b\n" }, { ...all, missingTarget: "drop" });
    expect(unlabelled.train.sourceRows).toEqual([2, 4]);
    const constant = await prepareTable({ csv: "x,c,y\n1,7,a\n2,7,b\n" }, all);
    expect(constant.report.constantColumns).toEqual({ c: "7" });
    expect(constant.encoder.encodeRow({ x: 1, c: 9 })).toHaveLength(1);
    const ignored = await prepareTable({ csv: "id,x,y\nq,1,a\nr,2,b\n" }, { ...all, columns: { id: "ignore" } });
    expect(ignored.encoder.encodeRow({ id: "anything", x: 1 })).toHaveLength(1);
  });

  it("a category unseen in training has its own place and is counted", async () => {
    const { encoder } = await prepareTable({ csv: "k,y\na,1\nb,2\na,3\n" }, all);
    const { readTable } = await import("./table.ts");
    const other = await readTable({ csv: "k,y\nc,1\na,2\n" });
    const { features, unseen } = encoder.encodeTable(other);
    expect([...features]).toEqual([0, 0, 1, 1, 0, 0]);
    expect(unseen).toEqual({ k: 1 });
    const classes = (await prepareTable({ csv: "k,y\na,p\nb,q\n" }, all)).encoder;
    await expect(async () => classes.encodeTable(await readTable({ csv: "k,y\na,r\nb,p\n" }))).rejects.toThrow(
      "row 2, column y",
    );
    await expect(async () => classes.encodeTable(await readTable({ csv: "j,y\na,r\nb,p\n" }))).rejects.toThrow(
      "data/unknown-column",
    );
  });

  it("an encoder from a file is not believed", async () => {
    const { encoder } = await prepareTable({ csv: "x,k,y\n1,a,p\n2,b,q\n" }, all);
    const json = () => JSON.parse(JSON.stringify(encoder));
    const damages: ((data: ReturnType<typeof json>) => unknown)[] = [
      () => null,
      () => [],
      (data) => ({ ...data, version: 2 }),
      (data) => ({ ...data, format: "x" }),
      (data) => ({ ...data, features: {} }),
      (data) => ({ ...data, features: [{ kind: "number", name: "x", mean: 0, scale: 0 }] }),
      (data) => ({ ...data, features: [{ kind: "number", name: "x", mean: null, scale: 1 }] }),
      ...[[], [1], [1, 1], [2, 1], [1, null], "1,2"].map((edges) => (data: ReturnType<typeof json>) => ({
        ...data,
        features: [{ ...data.features[0], edges }],
      })),
      (data) => ({ ...data, features: [data.features[0], data.features[0]] }),
      (data) => ({ ...data, features: [{ kind: "category", name: "k", values: ["a", "a"], missing: false }] }),
      (data) => ({ ...data, target: { ...data.target, classes: [1, 2] } }),
      (data) => ({ ...data, policy: {} }),
      (data) => ({ ...data, ignored: "all" }),
    ];
    for (const damage of damages) expect(() => TableEncoder.fromJSON(damage(json()))).toThrow("[data/encoder]");
    expect(TableEncoder.parse(JSON.stringify(json())).toJSON()).toEqual(json());
    expect(() => TableEncoder.parse("{")).toThrow(/data\/encoder[\s\S]*table\.json[\s\S]*expected *JSON/);
  });
});
