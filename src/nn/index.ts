export * from "./init.ts";
export { call, functionalCall, Module } from "./module.ts";
export { Parameter, type ParameterOptions, withParameters } from "./parameter.ts";
