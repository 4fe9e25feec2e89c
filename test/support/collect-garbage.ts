// The garbage collector, called: for tests of what is let go and of what is held.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

export const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes that this process's JavaScript holds, after a collection: what waits to be collected is not counted. */
export function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage(); // external counts array buffers too
  return heapUsed + external;
}
