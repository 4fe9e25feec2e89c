// What a program imports from "athanor".
export * from "./base/index.ts";
export * from "./core/index.ts";
export * from "./engine/index.ts";
