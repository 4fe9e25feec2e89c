// Training steps, updates and matrix products of all systems in turns, with a probe of the machine's peak in the same rounds.
import { takeTurns } from "./rounds.mjs";
import { ours, productSystems, stepSystems, updateSystems } from "./systems.mjs";
import { products, updates } from "./workloads.mjs";

/** Seconds that a system is given in a round, and the least number of steps: fewer where a step takes seconds. */
const patience = (quick, large) => (quick ? { seconds: 0.3, least: 2 } : { seconds: 3, least: large ? 3 : 5 });

/** One workload in one precision. */
export async function measureStep(found, workload, { precision, rounds, quick, say }) {
  const systems = stepSystems(found, workload, { precision, quick });
  const probe = { ...ours('{"model":"matmul"}', ["--precision", precision]), name: "peak" };
  const request = { ...patience(quick, workload.large), products: [[1024, 1024]] };
  const { systems: ran, failed, load } = await takeTurns([...systems, probe], { rounds, request, say });
  const peak = ran.find(({ name }) => name === "peak");
  const best = Math.min(...(peak?.rounds ?? []).map((round) => round.products[0].bestMs));
  return {
    ...{ kind: "step", workload: workload.name, title: workload.title, precision, failed, load },
    peakGflops: (2 * 1024 ** 3) / best / 1e6,
    systems: ran.filter(({ name }) => name !== "peak"),
  };
}

/** All products in one precision. */
export async function measureProducts(found, { precision, rounds, quick, say }) {
  const sizes = quick ? products.filter(([, n]) => n <= 1024) : products;
  const request = { seconds: quick ? 0.05 : 0.3, least: 3, products: sizes };
  const systems = productSystems(found, { precision });
  return { kind: "matmul", precision, ...(await takeTurns(systems, { rounds, request, say })) };
}

/** The updates of all optimizers, one after the other. */
export async function measureUpdates(found, { rounds, quick, say }) {
  const { matrices, optimizers } = updates;
  const request = { seconds: quick ? 0.05 : 0.5, least: 3 };
  const rows = [];
  for (const [name, optimizer] of Object.entries(optimizers)) {
    const systems = updateSystems(found, { name, optimizer, matrices });
    rows.push({ name, ...(await takeTurns(systems, { rounds, request, say: (text) => say(`${name}: ${text}`) })) });
  }
  const load = rows.flatMap((row) => row.load);
  return { kind: "updates", rows, failed: rows.flatMap(({ failed }) => failed), load };
}
