// House prices from a table of records: numbers and categories in, a number out.
import { train } from "athanor";

const rows = Array.from({ length: 300 }, (_, n) => {
  const [rooms, area, district] = [1 + (n % 6), 30 + ((n * 37) % 120), ["centre", "north", "river"][n % 3]!];
  const price = 0.2 + 0.015 * area + 0.08 * rooms + (district === "river" ? 0.4 : 0);
  return { rooms, area, district, price }; // price in units of 100,000
});
const model = await train({
  data: { rows, target: "price" },
  model: { mlp: { hidden: [32] } },
  optimizer: { adamw: { lr: 1e-2 } },
  batch: { size: 32 },
  steps: Number(process.env.STEPS ?? 400),
});
console.log(await model.predict({ rooms: 3, area: 80, district: "river" })); // { value: about 2.04 }
