// The door of `checkpoint`: saved states on disk. Depends on base alone.
export * from "./safetensors.ts";
export {
  compareNames,
  defaultMaxHeaderBytes,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorSpec,
} from "./safetensors-header.ts";
