// Kernels of products by groups: `groupRows` sorts rows by group, `groupedMatmul` multiplies each group's rows by its matrix or the
// transpose, `groupedMatmulGrad` gives every matrix's gradient. Groups are cut into rectangles of their results, each a product of gemm.h on
// one thread: where groups begin decides about the cut, the threads do not. Operands of products are f32 or bf16.
// params: groupRows: groups; groupedMatmul: transpose
#include <string.h>

#include "../gemm.h"
#include "../groups.h"
#include "../kernel.h"

namespace athanor::ATHANOR_ISA {
namespace {

bool isDense(const View& view) { return isFloatOrBf16(view) && view.rank == 2 && isInnerDense(view, 2); }

// groupRows: ids (N, k) -> rows (N k), places (N, k), offsets (groups + 1)

const char* checkGroupRows(const Call& call) {
  if (call.numIn != 1 || call.numOut != 3 || call.numParams != 1) return "groupRows needs ids and groups, and gives rows, places and offsets";
  const View &ids = call.in[0], &rows = call.out[0], &places = call.out[1], &offsets = call.out[2];
  if (!isDenseIndex(ids, 2) || !isDenseIndex(places, 2) || !isDenseIndex(rows, 1) || !isDenseIndex(offsets, 1)) return "all must be dense i32";
  if (repeats(rows) || repeats(places) || repeats(offsets)) return "outputs must not repeat elements";
  if (!isWhole(call.params[0], 1, 1 << 20) || offsets.shape[0] != static_cast<int64_t>(call.params[0]) + 1) return "there must be groups + 1 offsets";
  return rows.size == ids.size && sameShape(places, ids) ? nullptr : "rows and places must have an element per id";
}

void runGroupRows(const Call& call) {
  const View& ids = call.in[0];
  const int32_t* from = ints(ids);
  int32_t *rows = ints(call.out[0]), *places = ints(call.out[1]), *offsets = ints(call.out[2]);
  const int64_t groups = call.out[2].size - 1, perRow = ids.shape[1];
  const auto groupOf = [&](int64_t at) { return from[at] >= 0 && from[at] < groups ? from[at] : 0; };
  memset(offsets, 0, static_cast<size_t>(groups + 1) * sizeof(int32_t));
  for (int64_t at = 0; at < ids.size; ++at) {
    if (groupOf(at) != from[at]) call.status->report(Fault::indexOutOfRange, from[at]);
    ++offsets[groupOf(at) + 1];
  }
  for (int64_t group = 0; group < groups; ++group) offsets[group + 1] += offsets[group];
  for (int64_t at = 0; at < ids.size; ++at) {  // offsets run on to the ends of their groups
    const int32_t place = offsets[groupOf(at)]++;
    rows[place] = static_cast<int32_t>(at / perRow);
    places[at] = place;
  }
  for (int64_t group = groups; group > 0; --group) offsets[group] = offsets[group - 1];
  offsets[0] = 0;
}

// the products

constexpr int64_t chunkColumns = 4 * tileColumns;
constexpr int64_t togetherWork = 1 << 22;  // multiply-adds: some 30 microseconds

/** Rectangles of the results: rows of a product by columns, at most. */
Product largestPart(Product p) {
  p.rows = minOf(rowBlock, p.rows);
  p.columns = minOf(chunkColumns, p.columns);
  return p;
}

/** Whether a product is made by all threads together, which pack once what rectangles would pack again and again. */
ATHANOR_INLINE bool isShared(const Product& p) {
  const bool packsOften = p.rows > rowBlock || (packsA(p) && p.columns > chunkColumns);
  return packsOften && p.rows * p.columns * p.depth >= togetherWork && !(p.c.narrow && p.depth > deepestNarrow);
}

/** Scratch: what all threads pack together; and of each thread what it packs, and the sums of a bf16 c. Whatever the groups will be. */
struct Layout {
  size_t packed, a, b, sums;

  explicit Layout(const Product& whole) {
    const Product p = largestPart(whole), pairs = inPairs(whole);
    Product sharing = whole;  // no more of A is packed at once
    sharing.rows = minOf(4 * rowBlock, whole.rows);
    packed = scratchBytes<float>(whole.c.narrow ? maxOf(floatsForNarrowB(whole), floatsForNarrowB(pairs)) : floatsForShared(sharing));
    a = scratchBytes<float>(floatsForA(p));  // of pairs it is no more
    b = scratchBytes<float>(floatsForB(p, localColumns));
    sums = whole.c.narrow ? scratchBytes<float>(maxOf(p.rows * p.columns, floatsForSums)) : 0;
  }
  size_t ofThread() const { return a + b + sums; }
};

size_t scratchOf(const Product& whole, int numThreads) {
  const Layout layout(whole);
  return layout.packed + layout.ofThread() * static_cast<size_t>(numThreads);
}

/** Multiplies `productOf(group)` for every group. `whole` is as large as the largest of them can be. */
template <class ProductOf>
void multiplyGroups(const Call& call, int64_t groups, const Product& whole, const ProductOf& productOf) {
  const Layout layout(whole);
  const int64_t strips = ceilDiv(whole.columns, chunkColumns);
  char* const own = call.workspace + layout.packed;
  const auto bufferA = [&](int thread) { return reinterpret_cast<float*>(own + static_cast<size_t>(thread) * layout.ofThread()); };
  const auto sumsOf = [&](int thread) { return bufferA(thread) + (layout.a + layout.b) / sizeof(float); };
  const auto chunksOf = [&](const Product& p) { return isShared(p) ? 0 : ceilDiv(p.rows, rowBlock) * strips; };
  int64_t chunks = 0;
  for (int64_t group = 0; group < groups; ++group) {
    const Product p = productOf(group);
    chunks += chunksOf(p);
    if (!isShared(p)) continue;
    float* const packed = reinterpret_cast<float*>(call.workspace);
    p.c.narrow ? multiplySharedNarrow(inPairs(p), call.pool, packed, bufferA, sumsOf) : multiplyShared(inPairs(p), call.pool, packed, bufferA);
  }
  call.pool->parallelFor(chunks, [&](int64_t chunk, int thread) {
    int64_t group = 0, at = chunk;
    while (at >= chunksOf(productOf(group))) at -= chunksOf(productOf(group++));
    Product p = productOf(group);
    const int64_t row = at / strips * rowBlock, column = at % strips * chunkColumns;
    p.rows = minOf(rowBlock, p.rows - row);
    p.columns = minOf(chunkColumns, p.columns - column);
    p.a += row * p.aRow;
    p.b += column * p.bColumn;
    p.c += row * p.cRow + column;
    const Buffers buffers{bufferA(thread), bufferA(thread) + layout.a / sizeof(float)};
    if (!p.c.narrow) return multiplyAlone(inPairs(p), buffers);
    Product sums = p;
    sums.c = {sumsOf(thread), false};
    sums.cRow = p.columns;
    multiplyAlone(inPairs(sums), buffers);
    storeNarrow(p, 0, p.rows, 0, p.columns, sums.c.floats(), sums.cRow);
  });
}

// groupedMatmul: x (R, K), offsets (G + 1), G matrices (K, N) -> y (R, N); transposed x (R, N) -> (R, K). Rows of no group give 0.

const char* checkMatmul(const Call& call) {
  if (call.numIn < 3 || call.numOut != 1 || call.numParams != 1) return "groupedMatmul needs x, offsets, matrices and transpose, and gives y";
  const View &x = call.in[0], &offsets = call.in[1], &y = call.out[0];
  if (!isDense(x) || !isDense(y) || repeats(y)) return "x and y must be dense matrices of f32 or bf16";
  if (!isDenseIndex(offsets, 1) || offsets.size != call.numIn - 1) return "offsets must be i32, one more than matrices";
  const bool transposed = call.params[0] != 0;
  if (x.shape[0] != y.shape[0]) return "x and y must have as many rows";
  for (int at = 2; at < call.numIn; ++at) {
    const View& matrix = call.in[at];
    if (!isDense(matrix) || matrix.shape[0] != (transposed ? y : x).shape[1] || matrix.shape[1] != (transposed ? x : y).shape[1]) {
      return "matrices must be dense f32 or bf16 and fit x and y";
    }
  }
  return nullptr;
}

/** As if all rows were in one group. */
Product wholeMatmul(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const bool transposed = call.params[0] != 0;
  const int64_t depth = x.shape[1], columns = y.shape[1];
  return {x.shape[0], columns, depth, elements(x), depth, 1, elements(call.in[2]), transposed ? 1 : columns, transposed ? depth : 1,
          elements(y), columns, false};
}

size_t workspaceOfMatmul(const Call& call, int numThreads) { return scratchOf(wholeMatmul(call), numThreads); }

void runMatmul(const Call& call) {
  const View& offsets = call.in[1];
  if (!checkOffsets(call, offsets, call.in[0].shape[0])) return;
  const Product whole = wholeMatmul(call);
  clearOutside(call.out[0], offsets);
  multiplyGroups(call, offsets.size - 1, whole, [&](int64_t group) {
    const int64_t first = ints(offsets)[group];
    Product p = whole;
    p.rows = ints(offsets)[group + 1] - first;
    p.a += first * p.aRow;
    p.b = elements(call.in[2 + group]);
    p.c += first * p.cRow;
    return p;
  });
}

// groupedMatmulGrad: x (R, K), grad (R, N), offsets (G + 1) -> G matrices (K, N)

const char* checkGrad(const Call& call) {
  if (call.numIn != 3 || call.numOut < 1 || call.numParams != 0) return "groupedMatmulGrad needs x, grad and offsets, and gives matrices";
  const View &x = call.in[0], &grad = call.in[1], &offsets = call.in[2];
  if (!isDense(x) || !isDense(grad) || x.shape[0] != grad.shape[0]) return "x and grad must be dense matrices of f32 or bf16, of as many rows";
  if (!isDenseIndex(offsets, 1) || offsets.size != call.numOut + 1) return "offsets must be i32, one more than matrices";
  for (int at = 0; at < call.numOut; ++at) {
    const View& matrix = call.out[at];
    if (!isFloat(matrix) || !isDense(matrix) || repeats(matrix) || matrix.shape[0] != x.shape[1] || matrix.shape[1] != grad.shape[1]) {
      return "matrices must be dense f32 and fit x and grad";
    }
  }
  return nullptr;
}

Product wholeGrad(const Call& call) {
  const View &x = call.in[0], &grad = call.in[1];
  const int64_t rows = x.shape[1], columns = grad.shape[1];
  return {rows, columns, x.shape[0], elements(x), 1, rows, elements(grad), columns, 1, elements(call.out[0]), columns, false};
}

size_t workspaceOfGrad(const Call& call, int numThreads) { return scratchOf(wholeGrad(call), numThreads); }

void runGrad(const Call& call) {
  const View& offsets = call.in[2];
  if (!checkOffsets(call, offsets, call.in[0].shape[0])) return;
  const Product whole = wholeGrad(call);
  multiplyGroups(call, offsets.size - 1, whole, [&](int64_t group) {
    const int64_t first = ints(offsets)[group];
    Product p = whole;
    p.depth = ints(offsets)[group + 1] - first;
    p.a += first * p.aDepth;
    p.b += first * p.bDepth;
    p.c = elements(call.out[group]);
    return p;
  });
}

constexpr Kernel groupRows{"groupRows", checkGroupRows, nullptr, runGroupRows};
constexpr Kernel groupedMatmul{"groupedMatmul", checkMatmul, workspaceOfMatmul, runMatmul};
constexpr Kernel groupedMatmulGrad{"groupedMatmulGrad", checkGrad, workspaceOfGrad, runGrad};
const RegisterKernel registerGroupRows(groupRows), registerMatmul(groupedMatmul), registerGrad(groupedMatmulGrad);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
