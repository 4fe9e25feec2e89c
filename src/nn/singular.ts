// The largest singular vectors of a matrix, on the host: what a PiSSA adapter begins as. Not for training steps.
import { type HostArray, RandomStream, toNumbers } from "../base/index.ts";

/**
 * U√S [rows, rank] and √S·Vᵀ [rank, columns] of the largest singular values, in f64: subspace iteration on eight vectors more than are
 * asked for (Halko, Martinsson & Tropp 2011, algorithm 4.4).
 */
export function largestFactors(
  matrix: HostArray,
  rank: number,
  rounds = 8,
): { left: Float64Array; right: Float64Array } {
  const [rows, columns] = matrix.shape as [number, number];
  const width = Math.min(rank + 8, rows, columns);
  const values = toNumbers(matrix);
  const stream = new RandomStream(1, "singular");
  let basis = orthonormal(
    Float64Array.from({ length: columns * width }, (_, at) => stream.normal(at)),
    width,
  );
  for (let round = 0; round < rounds; round++)
    basis = orthonormal(timesTransposed(values, orthonormal(times(values, basis, width), width), width), width);
  // matrix ≈ image · basisᵀ, and the eigenvectors of imageᵀ · image turn both into singular vectors
  const image = times(values, basis, width);
  const { squares, turn } = eigen(timesTransposed(image, image, width), width);
  const order = [...squares.keys()].sort((a, b) => squares[b]! - squares[a]!).slice(0, rank);
  const left = new Float64Array(rows * rank);
  const right = new Float64Array(rank * columns);
  order.forEach((from, to) => {
    const root = Math.max(0, squares[from]!) ** 0.25; // √ of a singular value
    const turned = (vectors: Float64Array, row: number) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += vectors[row * width + i]! * turn[i * width + from]!;
      return sum;
    };
    for (let row = 0; row < rows; row++) left[row * rank + to] = root > 0 ? turned(image, row) / root : 0;
    for (let column = 0; column < columns; column++) right[to * columns + column] = root * turned(basis, column);
  });
  return { left, right };
}

/** matrix (n, m) · vectors (m, width) → (n, width). */
function times(matrix: Float64Array, vectors: Float64Array, width: number): Float64Array {
  const columns = vectors.length / width;
  const rows = matrix.length / columns;
  const product = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < columns; k++) {
      const value = matrix[row * columns + k]!;
      for (let i = 0; i < width; i++) product[row * width + i]! += value * vectors[k * width + i]!;
    }
  return product;
}

/** matrixᵀ (m, n) · vectors (n, width) → (m, width). */
function timesTransposed(matrix: Float64Array, vectors: Float64Array, width: number): Float64Array {
  const rows = vectors.length / width;
  const columns = matrix.length / rows;
  const product = new Float64Array(columns * width);
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < columns; k++) {
      const value = matrix[row * columns + k]!;
      for (let i = 0; i < width; i++) product[k * width + i]! += value * vectors[row * width + i]!;
    }
  return product;
}

/** Columns at right angles, of length 1: Gram and Schmidt, twice (Giraud et al. 2005). One that others span becomes zero. */
function orthonormal(vectors: Float64Array, width: number): Float64Array {
  const rows = vectors.length / width;
  const dot = (a: number, b: number) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += vectors[row * width + a]! * vectors[row * width + b]!;
    return sum;
  };
  for (let i = 0; i < width; i++) {
    const before = Math.sqrt(dot(i, i));
    for (let other = 0; other < 2 * i; other++) {
      const along = dot(i, other % i);
      for (let row = 0; row < rows; row++) vectors[row * width + i]! -= along * vectors[row * width + (other % i)]!;
    }
    const length = Math.sqrt(dot(i, i));
    const scale = length > 1e-12 * before ? 1 / length : 0;
    for (let row = 0; row < rows; row++) vectors[row * width + i]! *= scale;
  }
  return vectors;
}

/** Eigenvalues of a symmetric matrix, and its eigenvectors as columns: Jacobi's rotations, a sweep after the other. */
function eigen(matrix: Float64Array, size: number): { squares: Float64Array; turn: Float64Array } {
  const turn = Float64Array.from({ length: size * size }, (_, at) => Number(at % (size + 1) === 0));
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) {
        const away = matrix[p * size + q]!;
        if (away === 0) continue;
        const half = (matrix[q * size + q]! - matrix[p * size + p]!) / (2 * away);
        const tangent = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(half, 1));
        const cosine = 1 / Math.hypot(tangent, 1);
        const rotate = (values: Float64Array, a: number, b: number) => {
          const [x, y] = [values[a]!, values[b]!];
          values[a] = cosine * (x - tangent * y);
          values[b] = cosine * (tangent * x + y);
        };
        for (let i = 0; i < size; i++) rotate(matrix, i * size + p, i * size + q);
        for (let i = 0; i < size; i++) rotate(matrix, p * size + i, q * size + i);
        for (let i = 0; i < size; i++) rotate(turn, i * size + p, i * size + q);
      }
  }
  return { squares: Float64Array.from({ length: size }, (_, i) => matrix[i * size + i]!), turn };
}
