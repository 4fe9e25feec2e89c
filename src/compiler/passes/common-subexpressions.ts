// Pass `common-subexpressions`: nodes that compute the same thing from the same values become one.
import { type Attrs, Graph, type Node } from "../../core/index.ts";
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
  const identityOf = (object: object): string => {
    if (!identities.has(object)) identities.set(object, identities.size);
    return `#${identities.get(object)}`;
  };
  const parts = Object.entries(attrs).map(([name, value]) => {
    if (value instanceof Graph) return `${name}=${identityOf(value)}`;
    if (typeof value === "object" && "data" in value) {
      const { dtype, shape, data } = value;
      if (data.length <= 16) return `${name}=${dtype}[${shape}](${Array.from(data, exactly)})`;
      // Large constants are compared by identity: hashing them would cost more than it saves.
      return `${name}=${dtype}[${shape}]${identityOf(data)}`;
    }
    return `${name}=${JSON.stringify(value, (_, item) => (typeof item === "number" ? exactly(item) : item))}`;
  });
  return parts.join(";");
}

/** A number's text that keeps apart what `String` or JSON would not: −0 and 0, NaN and the infinities. */
function exactly(value: number | bigint): string {
  return Object.is(value, -0) ? "-0" : String(value);
}
