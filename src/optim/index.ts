export * from "./optimizer.ts";
export * from "./plateau.ts";
export * from "./presets.ts";
export * from "./schedule.ts";
export * from "./schedule-config.ts";
export * from "./schedule-shapes.ts";
export * from "./selector.ts";
export * from "./transforms.ts";
