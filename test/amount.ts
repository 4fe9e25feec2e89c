// How often the slow tests repeat themselves. Their amounts are written once, for the full run; a shorter run takes a share.

/**
 * Repetitions for a slow test: `full` when everything is run, a share of it when TEST_SHARE is set (0.1 in the short run
 * of every change, more than 1 before a release), and never fewer than `atLeast`.
 */
export function amount(full: number, atLeast = 1): number {
  const share = Number(process.env.TEST_SHARE ?? 1);
  if (!(share > 0)) throw new Error(`TEST_SHARE must be a positive number, got ${process.env.TEST_SHARE}`);
  return Math.max(atLeast, Math.round(full * share));
}

/**
 * Why a test that measures time is left out of a short run, or `undefined` in a whole one: its figures mean something only on
 * a machine with nothing else to do.
 */
export const noTimings: string | undefined =
  Number(process.env.TEST_SHARE ?? 1) < 1 ? "times are measured in the whole run alone (npm run test:full)" : undefined;
