// Our own cost against each dimension of a model: one dimension is varied, the others stay, and a power law is fitted.
import { availableParallelism } from "node:os";
import { takeTurns } from "./rounds.mjs";
import { fitPowerLaw } from "./statistics.mjs";
import { ours } from "./systems.mjs";
import { sweepBase } from "./workloads.mjs";

/** One sweep: all points take turns; the best time counts, as load from elsewhere only ever adds. */
export async function measureScaling({ name, points, why }, { rounds, quick, say }) {
  const values = (name === "threads" ? points.filter((n) => n <= availableParallelism()) : points).slice(
    0,
    quick ? 4 : undefined,
  );
  const systems = values.map((value) => {
    const [shape, more] =
      name === "threads" ? [sweepBase, ["--threads", String(value)]] : [{ ...sweepBase, [name]: value }, []];
    return { ...ours(JSON.stringify(shape), more), name: String(value) };
  });
  const request = { seconds: quick ? 0.2 : 1, least: quick ? 2 : 5 };
  const { systems: ran, failed, load } = await takeTurns(systems, { rounds, request, say });
  const measured = ran.map(({ name, ready, rounds }) => ({
    value: Number(name),
    ms: Math.min(...rounds.map(({ bestMs }) => bestMs)),
    mib: ready.plannedBytes / 2 ** 20,
  }));
  const law = (of) =>
    measured.length < 2 ? undefined : fitPowerLaw(measured.map((point) => [point.value, of(point)]));
  return {
    ...{ kind: "scaling", name, base: sweepBase, why, points: measured, failed, load },
    ...{ time: law(({ ms }) => ms), memory: law(({ mib }) => mib) },
  };
}
