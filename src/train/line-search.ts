// A line search to the strong Wolfe conditions: a bracket, then cubic interpolation in it (Nocedal & Wright 2006, algorithms 3.5 and 3.6,
// with the safeguards of minFunc, as PyTorch has them).

/** A place on the line: the step, the loss and its gradient there, and the gradient along the line. */
export interface LinePoint {
  readonly t: number;
  readonly loss: number;
  readonly gradient: Float64Array;
  readonly slope: number;
}

const [decrease, curvature, most] = [1e-4, 0.9, 25];

/** A step from `start` on, the first try being `first`; brackets narrower than `least` are not searched. */
export async function searchLine(
  at: (t: number) => Promise<LinePoint>,
  start: LinePoint,
  first: number,
  least: number,
): Promise<LinePoint> {
  const isHigh = ({ t, loss }: LinePoint) => loss > start.loss + decrease * t * start.slope;
  const isFlat = ({ slope }: LinePoint) => Math.abs(slope) <= -curvature * start.slope;
  let [before, point] = [start, await at(first)];
  let tries = 0;
  let bracket: [LinePoint, LinePoint] | undefined;
  while (tries < most && bracket === undefined) {
    if (isHigh(point) || (tries > 1 && point.loss >= before.loss)) bracket = [before, point];
    else if (isFlat(point)) return point;
    else if (point.slope >= 0) bracket = [before, point];
    else {
      const next = cubic(before, point, [point.t + 0.01 * (point.t - before.t), point.t * 10]);
      [before, point] = [point, await at(next)];
      tries++;
    }
  }
  bracket ??= [start, point];
  let wasNearEnd = false;
  while (tries < most) {
    const [low, high] = ordered(bracket);
    const [left, right] = [Math.min(low.t, high.t), Math.max(low.t, high.t)];
    if (right - left < least) break;
    let t = cubic(bracket[0], bracket[1], [left, right]);
    const margin = 0.1 * (right - left);
    const isNearEnd = Math.min(right - t, t - left) < margin;
    if (isNearEnd && (wasNearEnd || t >= right || t <= left)) {
      t = Math.abs(t - right) < Math.abs(t - left) ? right - margin : left + margin;
      wasNearEnd = false;
    } else wasNearEnd = isNearEnd;
    const next = await at(t);
    tries++;
    if (isHigh(next) || next.loss >= low.loss) bracket = [low, next];
    else if (isFlat(next)) return next;
    else bracket = [next, next.slope * (high.t - low.t) >= 0 ? low : high];
  }
  return ordered(bracket)[0];
}

/** The better of a bracket first. */
const ordered = ([a, b]: readonly [LinePoint, LinePoint]): [LinePoint, LinePoint] =>
  a.loss <= b.loss ? [a, b] : [b, a];

/** The lowest place of the cubic through two points and their slopes, within bounds. */
function cubic(a: LinePoint, b: LinePoint, [low, high]: readonly [number, number]): number {
  const [left, right] = a.t <= b.t ? [a, b] : [b, a];
  const d1 = a.slope + b.slope - (3 * (a.loss - b.loss)) / (a.t - b.t);
  const square = d1 ** 2 - a.slope * b.slope;
  if (square < 0) return (low + high) / 2;
  const d2 = Math.sqrt(square);
  const share = (right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2);
  return Math.min(Math.max(right.t - (right.t - left.t) * share, low), high);
}
