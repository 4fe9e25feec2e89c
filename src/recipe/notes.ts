// What reading the data left out or changed, as lines for people. Says nothing where all was taken as it is.
import type { TableReport, TextReport } from "../data/index.ts";
import type { Module } from "../nn/index.ts";
import { fewestInEightBits, type Optimizer } from "../optim/index.ts";
import type { PrepareOptions } from "./prepare.ts";

/** Slots that were asked for in eight bits, and stay whole because every parameter is small. */
export function tellSlots(optimizer: Optimizer, model: Module, tell: Tell): void {
  const [settings] = Object.values(optimizer.config) as [{ readonly slots?: unknown }];
  if (settings.slots !== "8bit") return;
  const types = [...model.parameters()].map(([name, { dtype = "f32", shape }]) => ({ name, dtype, shape }));
  if (optimizer.slotTypes(types).some((slot) => slot.dtype === "u8")) return;
  const least = fewestInEightBits.toLocaleString("en");
  tell?.(`slots: 8bit changes nothing: parameters of fewer than ${least} numbers keep theirs whole, and all are such`);
}

type Tell = PrepareOptions["onNote"];

/** Counts with their noun: `1 row`, `2,500 rows`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** The first few of a list. */
export function firstOf(names: readonly string[]): string {
  return `${names.slice(0, 8).join(", ")}${names.length > 8 ? ", …" : ""}`;
}

/** What `data.invalid` did to text that is not valid. */
export function tellInvalid({ skipped, replaced }: Pick<TextReport, "skipped" | "replaced">, tell: Tell): void {
  if (skipped.length > 0) {
    const names = firstOf(skipped.map(({ name }) => name));
    tell?.(
      `left out ${counted(skipped.length, "file or text that is", "files or texts that are")} not valid text: ${names}`,
    );
  }
  if (replaced > 0) tell?.(`put U+FFFD in place of ${counted(replaced, "fault")} in the text`);
}

/** What was done to a table before it became numbers. */
export function tellTable(report: TableReport, tell: Tell): void {
  tellInvalid(report, tell);
  const { droppedRows, constantColumns, imputed, unseen } = report;
  if (droppedRows > 0) tell?.(`left out ${counted(droppedRows, "row")} with a gap`);
  const constants = Object.entries(constantColumns).map(([name, value]) => `${name} = ${value}`);
  if (constants.length > 0)
    tell?.(`left out ${counted(constants.length, "column")} that never changes: ${firstOf(constants)}`);
  const filled = sumOf(imputed);
  if (filled > 0) tell?.(`filled in ${counted(filled, "missing value")}: ${byColumn(imputed)}`);
  const strange = sumOf(unseen);
  if (strange > 0) tell?.(`${counted(strange, "value")} in a category that training did not see: ${byColumn(unseen)}`);
}

type Counts = Readonly<Record<string, number>>;

function sumOf(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function byColumn(counts: Counts): string {
  return firstOf(Object.entries(counts).map(([name, count]) => `${name} ${count}`));
}
