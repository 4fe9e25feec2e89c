// Pass `common-subexpressions`: nodes that compute the same thing from the same values become one.
import type { Attrs, Node } from "../../core/index.ts";
import { isEffect, type Pass, rewrite } from "../rewrite.ts";

export const mergeCommonSubexpressions: Pass = {
  name: "common-subexpressions",
  doc: "computes equal expressions once",
  run: (graph) => {
    const known = new Map<string, readonly number[]>();
    const identities = new Map<object, number>();
    return rewrite(graph, (node, rewriter) => {
      if (isEffect(node)) return undefined;
      const inputs = node.inputs.map((id) => rewriter.map(id));
      const key = keyOf(node, inputs, identities);
      const earlier = known.get(key);
      if (earlier !== undefined) return earlier;
      const ids = rewriter.add(node.op, inputs, node.attrs, node.scope);
      known.set(key, ids);
      return ids;
    });
  },
};

function keyOf(node: Node, inputs: readonly number[], identities: Map<object, number>): string {
  return `${node.op.name}(${inputs.join()})${attrsKey(node.attrs, identities)}`;
}

function attrsKey(attrs: Attrs, identities: Map<object, number>): string {
  const parts = Object.entries(attrs).map(([name, value]) => {
    if (typeof value !== "object") return `${name}=${value}`;
    if (Array.isArray(value)) return `${name}=${JSON.stringify(value)}`;
    if ("data" in value && value.data.length <= 16)
      return `${name}=${value.dtype}[${value.shape}]${value.data.join()}${signOfZeros(value.data)}`;
    // Large constants are compared by identity: hashing them would cost more than it saves.
    if (!identities.has(value)) identities.set(value, identities.size);
    return `${name}=#${identities.get(value)}`;
  });
  return parts.join(";");
}

/** `join` prints −0 as 0: keep them apart. */
function signOfZeros(data: ArrayLike<number | bigint>): string {
  return Array.from(data, (value) => (Object.is(value, -0) ? "-" : "")).join("");
}
