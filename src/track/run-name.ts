// Names of run folders: `2026-11-22-gpt-k3f9`. They sort by day, and within a day and label by second.

const secondsOfDay = 86_400;
const perSecond = Math.floor(36 ** 4 / secondsOfDay); // 19 draws for each second fit into four characters

/**
 * A name for a run that begins `now` (UTC). The last four characters count the seconds of the day in base 36, each
 * divided into 19 draws.
 * @param draw in [0, 1); two runs of one second differ by it, and the caller tries again when they do not
 */
export function runName(label: string, now: Date, draw: number): string {
  const day = now.toISOString().slice(0, 10);
  const second = Math.floor(now.getTime() / 1000) % secondsOfDay;
  const suffix = (((second + secondsOfDay) % secondsOfDay) * perSecond + Math.floor(draw * perSecond))
    .toString(36)
    .padStart(4, "0");
  const plain = label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 40)
    .replace(/^-+|-+$/g, "");
  return `${day}-${plain || "run"}-${suffix}`;
}
