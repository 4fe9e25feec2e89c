// The op files of this folder, one namespace each. Written by scripts/generate-lists.mjs: do not edit.
import * as activationModule from "./activation.ts";
import * as attentionModule from "./attention.ts";
import * as blocksModule from "./blocks.ts";
import * as elementwiseModule from "./elementwise.ts";
import * as groupedMatmulModule from "./grouped-matmul.ts";
import * as groupedQuantizedMatmulModule from "./grouped-quantized-matmul.ts";
import * as indexingModule from "./indexing.ts";
import * as leafModule from "./leaf.ts";
import * as linearCrossEntropyModule from "./linear-cross-entropy.ts";
import * as logicModule from "./logic.ts";
import * as matmulModule from "./matmul.ts";
import * as normModule from "./norm.ts";
import * as panelsModule from "./panels.ts";
import * as quantizedMatmulModule from "./quantized-matmul.ts";
import * as randomModule from "./random.ts";
import * as reduceModule from "./reduce.ts";
import * as rotaryModule from "./rotary.ts";
import * as scanModule from "./scan.ts";
import * as softmaxModule from "./softmax.ts";
import * as tapeModule from "./tape.ts";
import * as updateModule from "./update.ts";
import * as viewModule from "./view.ts";

export const allOpModules = [
  activationModule,
  attentionModule,
  blocksModule,
  elementwiseModule,
  groupedMatmulModule,
  groupedQuantizedMatmulModule,
  indexingModule,
  leafModule,
  linearCrossEntropyModule,
  logicModule,
  matmulModule,
  normModule,
  panelsModule,
  quantizedMatmulModule,
  randomModule,
  reduceModule,
  rotaryModule,
  scanModule,
  softmaxModule,
  tapeModule,
  updateModule,
  viewModule,
];
