// The door of `checkpoint`: saved states on disk, and the lock of a run folder. Depends on base alone.
export * from "./checkpoint.ts";
export { onDisk, syncFolder, writeAll, writeDurably } from "./disk.ts";
export {
  type CheckpointInfo,
  checkpointsFolder,
  findCheckpoints,
  type LatestGood,
  latestGood,
  loadLatest,
  type Scan,
  type Skipped,
  scanCheckpoints,
} from "./find.ts";
export { type Checkpoint, type LoadOptions, loadCheckpoint, readManifest, verifyCheckpoint } from "./load.ts";
export { type LockOptions, type LockOwner, lockRun, type RunLock, readLock } from "./lock.ts";
export type { Manifest, ManifestFile, ManifestTensor, Provenance } from "./manifest.ts";
export type { Liveness, ProcessIdentity } from "./process-identity.ts";
export type { Retention } from "./retention.ts";
export * from "./safetensors.ts";
export {
  compareNames,
  defaultMaxHeaderBytes,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorSpec,
} from "./safetensors-header.ts";
export { stateHash } from "./state-hash.ts";
export type { JsonValue } from "./state-json.ts";
