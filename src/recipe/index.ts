export { type AdapterConfig, adapt, variantOf } from "./adapter.ts";
export { batchSizeOf } from "./batches.ts";
export { compareRecipes, compareSchedules, forkKeys, freeOnResume, recipeJson, recipeSettings } from "./compare.ts";
export { coursesOf } from "./courses.ts";
export { given, readingSettings } from "./given.ts";
export { type Prepared, type PreparedData, type PrepareOptions, prepare } from "./prepare.ts";
export { initProject, type ProjectModel, type ProjectOptions, projectModels, wrongNames } from "./project.ts";
export { parseRecipe, type ReadOptions, readRecipe, yaml } from "./read.ts";
export { type Recipe, type RecipeInput, recipeSchema } from "./schema.ts";
