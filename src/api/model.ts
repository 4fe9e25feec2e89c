// A trained model: loaded from a run or a saved folder, for prediction inside a program.
export interface TrainedModel {
  readonly folder: string;
}

export async function loadModel(folder: string): Promise<TrainedModel> {
  return { folder };
}
