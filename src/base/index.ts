export * from "./dtype.ts";
export * from "./eight-bit.ts";
export * from "./error.ts";
export * from "./rng.ts";
export * from "./schema.ts";
export * from "./shape.ts";
export * from "./units.ts";
