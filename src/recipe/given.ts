// Settings that were given, to be passed on: one that was left out is no key at all.

/** How files of rows are read: settings of a recipe's data that the data folder has under the same names. */
export const readingSettings = ["format", "header", "separator", "quote", "missingMarkers"] as const;

type Given<T extends object, K extends keyof T> = { [P in K]?: Exclude<T[P], undefined> };

/** Of `settings` those of `keys` that are not undefined. */
export function given<T extends object, K extends keyof T>(settings: T, keys: readonly K[]): Given<T, K> {
  const present = keys.filter((key) => settings[key] !== undefined).map((key) => [key, settings[key]]);
  return Object.fromEntries(present) as Given<T, K>;
}
