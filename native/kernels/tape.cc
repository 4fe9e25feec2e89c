// The kernel `tape`: a chain of elementwise operations, run tile by tile so that what lies between them never leaves the
// L1 cache.   inputs..., -> outputs..., params [class, numOps, {opcode, dst, a, b, c} * numOps, result register * numOut]
//
// Registers are in single assignment: 0..numIn-1 are the inputs, each operation defines one more. A register of a tile
// is either read in place (an input whose elements lie dense in memory), written in place (an output that does), or
// lies in a slot of scratch; slots are shared by registers whose lives do not overlap.
#include "../bf16.h"
#include "../kernel.h"
#include "../math.h"
#include "../simd.h"
#include "../strided.h"
#include "../tape-ops.h"

namespace athanor::ATHANOR_ISA {
namespace {

constexpr int maxOperands = 128;
constexpr int maxOps = 256;
constexpr int maxRegisters = maxOperands + maxOps;
constexpr int64_t tileElements = 1024;
constexpr int64_t rowTileFrom = 256;  // rows at least this long are cut into tiles; shorter ones share a tile
constexpr int none = -1;

enum class Where : uint8_t { slot, pinned, input, output };

struct Register {
  Where where = Where::slot;
  int slot = none;    // of scratch; pinned ones are filled once per chunk
  int operand = none;  // the input or output that it is, or is loaded from
  int lastUse = none;  // the last operation that reads it; maxOps when stored at the end
};

struct Step {
  TapeFunction run;
  int16_t dst, a, b, c;
};

struct Tape {
  bool integer;
  int numIn, numOut, numOps;
  int numSlots;
  int numSteps;
  Step steps[maxOps];
  Register registers[maxRegisters];
  int16_t results[maxOperands];
  bool stored[maxOperands];  // outputs that are copied from their register at the end of a tile
  float constants[maxOps];
  int32_t intConstants[maxOps];
};

bool mayLoad(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::i32 || dtype == DType::u8 || dtype == DType::bool_;
}

DType registerDType(bool integer) { return integer ? DType::i32 : DType::f32; }

const char* check(const Call& call) {
  const int operands = call.numIn + call.numOut;
  if (call.numOut < 1 || operands > maxOperands) return "expected 1 to 128 operands, at least one an output";
  if (call.numParams < 2) return "expected [class, numOps, ...]";
  if (!isWhole(call.params[0], 0, 1)) return "expected register class 0 or 1";
  if (!isWhole(call.params[1], 0, maxOps)) return "expected at most 256 operations";
  const bool integer = call.params[0] == 1;
  const int numOps = static_cast<int>(call.params[1]);
  if (call.numParams != 2 + 5 * numOps + call.numOut) return "the parameters' length does not fit";
  const View& shape = call.out[0];
  for (int k = 0; k < operands; ++k) {
    const View& view = k < call.numIn ? call.in[k] : call.out[k - call.numIn];
    if (!sameShape(view, shape)) return "operands differ in shape";
    if (!mayLoad(view.dtype)) return "expected f32, bf16, i32, u8 or bool";
  }
  bool defined[maxRegisters] = {};
  for (int r = 0; r < call.numIn; ++r) defined[r] = true;
  const auto isDefined = [&](double x) { return isWhole(x, 0, maxRegisters - 1) && defined[static_cast<int>(x)]; };
  for (int i = 0; i < numOps; ++i) {
    const double* op = call.params + 2 + 5 * i;
    if (!isWhole(op[0], 0, numTapeOpcodes - 1)) return "unknown opcode";
    const int opcode = static_cast<int>(op[0]);
    const TapeEntry entry = integer ? intEntry(opcode) : floatEntry(opcode);
    if (opcode != op_const && entry.run == nullptr) return "this operation has no integer form";
    for (int k = 0; k < entry.arity; ++k) {
      if (!isDefined(op[2 + k])) return "an operation reads a register that is not defined";
    }
    if (!isWhole(op[1], call.numIn, call.numIn + numOps - 1)) return "a register's number is out of range";
    if (isDefined(op[1])) return "a register is defined twice";
    defined[static_cast<int>(op[1])] = true;
  }
  for (int k = 0; k < call.numOut; ++k) {
    if (!isDefined(call.params[2 + 5 * numOps + k])) return "a result is not defined";
  }
  return nullptr;
}

size_t workspace(const Call& call, int numThreads) {
  const int numOps = static_cast<int>(call.params[1]);
  return scratchBytes<float>(tileElements * (call.numIn + call.numOut + numOps)) * static_cast<size_t>(numThreads);
}

bool overlaps(const View& a, const View& b) {
  const auto end = [](const View& v) {
    int64_t last = 0;
    for (int d = 0; d < v.rank; ++d) last += (v.shape[d] - 1) * v.strides[d];
    return static_cast<const char*>(v.data) + (last + 1) * elementBytes(v.dtype);
  };
  return static_cast<const char*>(a.data) < end(b) && static_cast<const char*>(b.data) < end(a);
}

bool isUniform(const View& v) {
  for (int d = 0; d < v.rank; ++d) {
    if (v.shape[d] != 1 && v.strides[d] != 0) return false;
  }
  return true;
}

int32_t toInt32(float x) {  // towards zero, as far as int32 goes; NaN is 0
  if (!(x == x)) return 0;
  return x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : static_cast<int32_t>(x);
}

/** True when input k is itself a result and an output lies on its memory: it must be loaded before anything is stored. */
bool goesOutOverItself(const Call& call, const Tape& tape, int k) {
  bool isResult = false, isOverwritten = false;
  for (int j = 0; j < call.numOut; ++j) {
    isResult = isResult || tape.results[j] == k;
    isOverwritten = isOverwritten || overlaps(call.in[k], call.out[j]);
  }
  return isResult && isOverwritten;
}

/** Where each register lives, and which function each step calls. `direct[k]`: operand k can be used in place. */
void prepare(const Call& call, const bool* direct, Tape& tape) {
  tape.integer = call.params[0] == 1;
  tape.numIn = call.numIn;
  tape.numOut = call.numOut;
  tape.numOps = static_cast<int>(call.params[1]);
  tape.numSlots = tape.numSteps = 0;
  const double* ops = call.params + 2;
  Register* registers = tape.registers;
  int definedAt[maxRegisters];
  for (int r = 0; r < tape.numIn + tape.numOps; ++r) registers[r] = Register{};
  for (int k = 0; k < call.numOut; ++k) tape.results[k] = static_cast<int16_t>(ops[5 * tape.numOps + k]);

  const auto arity = [&](int opcode) { return floatEntry(opcode).arity; };
  for (int i = 0; i < tape.numOps; ++i) {
    const double* op = ops + 5 * i;
    definedAt[static_cast<int>(op[1])] = i;
    for (int k = 0; k < arity(static_cast<int>(op[0])); ++k) registers[static_cast<int>(op[2 + k])].lastUse = i;
  }

  for (int k = 0; k < call.numIn; ++k) {
    Register& r = registers[k];
    r.operand = k;
    if (direct[k] && !goesOutOverItself(call, tape, k)) {
      r.where = Where::input;
    } else if (isUniform(call.in[k])) {
      r.where = Where::pinned;
    }
  }
  for (int k = 0; k < call.numOut; ++k) {
    // an output is written in place by the operation that defines it, unless a later one still reads that memory
    const int result = tape.results[k];
    Register& r = registers[result];
    tape.stored[k] = true;
    const bool computed = result >= call.numIn && static_cast<int>(ops[5 * definedAt[result]]) != op_const;
    bool inPlace = computed && direct[call.numIn + k] && r.where == Where::slot;
    for (int j = 0; inPlace && j < call.numIn; ++j) {
      inPlace = registers[j].where != Where::input || registers[j].lastUse <= definedAt[result] ||
                !overlaps(call.in[j], call.out[k]);
    }
    if (inPlace) {
      r.where = Where::output;
      r.operand = call.numIn + k;
      tape.stored[k] = false;
    }
  }
  for (int k = 0; k < call.numOut; ++k) {
    if (tape.stored[k]) registers[tape.results[k]].lastUse = maxOps;
  }

  // slots: pinned ones and loaded inputs first, then each operation's, reusing those whose register has died
  int freeSlots[maxRegisters];
  int numFree = 0;
  for (int k = 0; k < call.numIn; ++k) {
    if (registers[k].where == Where::slot || registers[k].where == Where::pinned) registers[k].slot = tape.numSlots++;
  }
  for (int i = 0; i < tape.numOps; ++i) {
    const double* op = ops + 5 * i;
    const int opcode = static_cast<int>(op[0]);
    Register& dst = registers[static_cast<int>(op[1])];
    if (opcode != op_const) continue;
    dst.where = Where::pinned;
    dst.slot = tape.numSlots++;
    dst.operand = none;
    tape.constants[dst.slot] = static_cast<float>(op[2]);
    tape.intConstants[dst.slot] = toInt32(static_cast<float>(op[2]));
    if (op[2] >= -2147483648.0 && op[2] <= 2147483647.0) tape.intConstants[dst.slot] = static_cast<int32_t>(op[2]);
  }
  for (int i = 0; i < tape.numOps; ++i) {
    const double* op = ops + 5 * i;
    const int opcode = static_cast<int>(op[0]);
    if (opcode == op_const) continue;
    const TapeEntry entry = tape.integer ? intEntry(opcode) : floatEntry(opcode);
    Step& step = tape.steps[tape.numSteps++];
    int16_t* fields[] = {&step.a, &step.b, &step.c};
    step.run = entry.run;
    step.dst = static_cast<int16_t>(op[1]);
    for (int k = 0; k < 3; ++k) {
      *fields[k] = k < entry.arity ? static_cast<int16_t>(op[2 + k]) : static_cast<int16_t>(none);
    }
    for (int k = 0; k < entry.arity; ++k) {
      Register& r = registers[*fields[k]];
      if (r.where != Where::slot || r.lastUse != i || r.slot == none) continue;
      freeSlots[numFree++] = r.slot;
      r.lastUse = none;  // freed once, though it may be read twice here
    }
    Register& dst = registers[step.dst];
    if (dst.where != Where::slot) continue;
    dst.slot = numFree > 0 ? freeSlots[--numFree] : tape.numSlots++;
    if (dst.lastUse == none) freeSlots[numFree++] = dst.slot;  // nobody reads it
  }
}

template <class T>
ATHANOR_INLINE void fillSlot(void* slot, T value) {
  for (int64_t i = 0; i < tileElements; ++i) static_cast<T*>(slot)[i] = value;
}

template <class T>
constexpr bool isInteger = static_cast<T>(0.5) == 0;

template <class T, class S>
ATHANOR_INLINE T convert(S x) {
  if constexpr (isInteger<T> && !isInteger<S>) {
    return toInt32(x);
  } else {
    return static_cast<T>(x);
  }
}

template <class T, class S>
ATHANOR_INLINE void loadElements(T* dst, const S* p, int64_t stride, int64_t n) {
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) dst[i] = convert<T, S>(p[i]);
  } else if (stride == 0) {
    const T value = convert<T, S>(p[0]);
    for (int64_t i = 0; i < n; ++i) dst[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = convert<T, S>(p[i * stride]);
  }
}

template <class T>
void loadNarrow(T* dst, const Bf16* p, int64_t stride, int64_t n) {
  if constexpr (!isInteger<T>) {
    if (stride == 1) return convertRow(dst, p, n);
  }
  for (int64_t i = 0; i < n; ++i) dst[i] = convert<T, float>(widen(p[i * stride]));
}

template <class T>
void storeNarrow(const T* src, Bf16* p, int64_t stride, int64_t n) {
  if constexpr (!isInteger<T>) {
    if (stride == 1) return convertRow(p, src, n);
  }
  for (int64_t i = 0; i < n; ++i) p[i * stride] = narrow(static_cast<float>(src[i]));
}

/** n elements of a view from element `offset` on, as registers. */
template <class T>
void loadRow(T* dst, const View& view, int64_t offset, int64_t stride, int64_t n) {
  switch (view.dtype) {
    case DType::f32:
      return loadElements(dst, static_cast<const float*>(view.data) + offset, stride, n);
    case DType::bf16:
      return loadNarrow(dst, static_cast<const Bf16*>(view.data) + offset, stride, n);
    case DType::i32:
      return loadElements(dst, static_cast<const int32_t*>(view.data) + offset, stride, n);
    case DType::u8:
      return loadElements(dst, static_cast<const uint8_t*>(view.data) + offset, stride, n);
    default: {  // any byte that is not 0 is true
      const uint8_t* p = static_cast<const uint8_t*>(view.data) + offset;
      for (int64_t i = 0; i < n; ++i) dst[i] = p[i * stride] != 0 ? 1 : 0;
    }
  }
}

template <class T>
void storeRow(const T* src, const View& view, int64_t offset, int64_t stride, int64_t n) {
  switch (view.dtype) {
    case DType::f32: {
      float* p = static_cast<float*>(view.data) + offset;
      for (int64_t i = 0; i < n; ++i) p[i * stride] = static_cast<float>(src[i]);
      return;
    }
    case DType::bf16:
      return storeNarrow(src, static_cast<Bf16*>(view.data) + offset, stride, n);
    case DType::i32: {
      int32_t* p = static_cast<int32_t*>(view.data) + offset;
      for (int64_t i = 0; i < n; ++i) p[i * stride] = convert<int32_t, T>(src[i]);
      return;
    }
    case DType::u8: {
      uint8_t* p = static_cast<uint8_t*>(view.data) + offset;
      for (int64_t i = 0; i < n; ++i) p[i * stride] = static_cast<uint8_t>(convert<int32_t, T>(src[i]));
      return;
    }
    default: {
      uint8_t* p = static_cast<uint8_t*>(view.data) + offset;
      for (int64_t i = 0; i < n; ++i) p[i * stride] = src[i] != 0 ? 1 : 0;
    }
  }
}

/** How the tensor is cut: either pieces of one row, or whole rows together. */
struct Tiling {
  int64_t rows;          // outer positions
  int64_t rowsPerTile;   // > 1 only when a tile is whole rows
  int64_t piecesPerRow;  // > 1 only when a row is several tiles
  int64_t pieceLength;
  int64_t tiles;
};

Tiling tilingOf(int64_t rows, int64_t inner) {
  Tiling t{rows, 1, 1, inner, 0};
  if (inner >= rowTileFrom) {
    t.piecesPerRow = ceilDiv(inner, tileElements);
    t.pieceLength = roundUp(ceilDiv(inner, t.piecesPerRow), 16);
    t.piecesPerRow = ceilDiv(inner, t.pieceLength);
  } else if (inner > 0) {
    t.rowsPerTile = maxOf<int64_t>(1, tileElements / inner);
  }
  t.tiles = t.piecesPerRow * ceilDiv(rows, t.rowsPerTile);
  return t;
}

template <class T>
struct Runner {
  const Call& call;
  const Tape& tape;
  const Walk<maxOperands>& walk;
  const Tiling& tiling;
  const bool* dense;  // by operand: contiguous as a whole
  T* scratch;         // this thread's slots

  const View& view(int operand) const {
    return operand < call.numIn ? call.in[operand] : call.out[operand - call.numIn];
  }
  T* slot(int index) const { return scratch + index * tileElements; }

  void fillPinned(int numRegisters) {
    for (int r = 0; r < numRegisters; ++r) {
      const Register& reg = tape.registers[r];
      if (reg.where != Where::pinned) continue;
      T value;
      if (reg.operand != none) {
        loadRow(&value, view(reg.operand), 0, 0, 1);
      } else if constexpr (isInteger<T>) {
        value = tape.intConstants[reg.slot];
      } else {
        value = tape.constants[reg.slot];
      }
      fillSlot(slot(reg.slot), value);
    }
  }

  void runTile(int64_t tile) {
    const int64_t firstRow = tile / tiling.piecesPerRow * tiling.rowsPerTile;
    const int64_t column = tile % tiling.piecesPerRow * tiling.pieceLength;
    const int64_t length = minOf(tiling.pieceLength, walk.inner() - column);
    const int64_t rows = minOf(tiling.rowsPerTile, tiling.rows - firstRow);
    const int64_t n = rows * length;
    int64_t start[maxRank];
    walk.indexOf(firstRow, start);

    // an operand used in place is dense over the tile: over its rows, or over its one piece of a row
    const auto address = [&](int operand) {
      const int64_t offset = walk.offset(operand, start) + column * walk.innerStride(operand);
      return static_cast<T*>(view(operand).data) + offset;
    };
    T* values[maxRegisters];
    const int numRegisters = tape.numIn + tape.numOps;
    for (int r = 0; r < numRegisters; ++r) {
      const Register& reg = tape.registers[r];
      const bool inPlace = reg.where == Where::input || reg.where == Where::output;
      values[r] = inPlace ? address(reg.operand) : slot(reg.slot);
      if (r >= tape.numIn || reg.where != Where::slot) continue;
      gather(values[r], reg.operand, start, column, length, rows);
    }
    for (int i = 0; i < tape.numSteps; ++i) {
      const Step& s = tape.steps[i];
      s.run(values[s.dst], values[s.a], s.b < 0 ? nullptr : values[s.b], s.c < 0 ? nullptr : values[s.c], n);
    }
    for (int k = 0; k < tape.numOut; ++k) {
      if (tape.stored[k]) scatter(values[tape.results[k]], tape.numIn + k, start, column, length, rows);
    }
  }

  void gather(T* dst, int operand, const int64_t* start, int64_t column, int64_t length, int64_t rows) {
    forRows(operand, start, column, length, rows, [&](int64_t offset, int64_t at, int64_t n, int64_t step) {
      loadRow(dst + at, view(operand), offset, step, n);
    });
  }
  void scatter(const T* src, int operand, const int64_t* start, int64_t column, int64_t length, int64_t rows) {
    forRows(operand, start, column, length, rows, [&](int64_t offset, int64_t at, int64_t n, int64_t step) {
      storeRow(src + at, view(operand), offset, step, n);
    });
  }

  /** Calls `body(element offset, position in the tile, count, stride)` for each stretch of the tile. */
  template <class Body>
  void forRows(int operand, const int64_t* start, int64_t column, int64_t length, int64_t rows, const Body& body) const {
    const int64_t stride = walk.innerStride(operand);
    const int64_t first = walk.offset(operand, start) + column * stride;
    if (rows == 1 || dense[operand]) return body(first, 0, rows * length, stride);
    int64_t index[maxRank];
    for (int d = 0; d < walk.rank - 1; ++d) index[d] = start[d];
    for (int64_t row = 0; row < rows; ++row) {
      body(walk.offset(operand, index), row * length, length, stride);
      walk.advance(index);
    }
  }
};

template <class T>
void runAs(const Call& call, const Tape& tape, const Walk<maxOperands>& walk, const Tiling& tiling, const bool* dense) {
  // chunks of about 2^16 element operations (loads and stores count as two): enough to pay for handing them out
  const int64_t work = maxOf<int64_t>(1, tileElements * (tape.numSteps + 2));
  const int64_t tilesPerChunk = maxOf<int64_t>(1, 65536 / work);
  const size_t stride = static_cast<size_t>(tileElements) * static_cast<size_t>(tape.numIn + tape.numOut + tape.numOps);
  call.pool->parallelFor(ceilDiv(tiling.tiles, tilesPerChunk), [&](int64_t chunk, int thread) {
    Runner<T> runner{call, tape, walk, tiling, dense, reinterpret_cast<T*>(call.workspace) + stride * static_cast<size_t>(thread)};
    runner.fillPinned(tape.numIn + tape.numOps);
    const int64_t first = chunk * tilesPerChunk;
    for (int64_t tile = first; tile < minOf(first + tilesPerChunk, tiling.tiles); ++tile) runner.runTile(tile);
  });
}

void run(const Call& call) {
  if (call.out[0].size == 0) return;
  const int operands = call.numIn + call.numOut;
  const View* views[maxOperands] = {};
  for (int k = 0; k < operands; ++k) views[k] = k < call.numIn ? call.in + k : call.out + (k - call.numIn);
  Walk<maxOperands> walk;
  walk.init(views, operands);
  const Tiling tiling = tilingOf(walk.outer(), walk.inner());
  const DType native = registerDType(call.params[0] == 1);
  bool dense[maxOperands];
  bool direct[maxOperands];
  for (int k = 0; k < operands; ++k) {
    dense[k] = isContiguous(*views[k]);
    const bool denseInTile = dense[k] || (tiling.rowsPerTile == 1 && walk.innerStride(k) == 1);
    direct[k] = views[k]->dtype == native && denseInTile;
  }
  Tape tape;
  prepare(call, direct, tape);
  if (tape.integer) {
    runAs<int32_t>(call, tape, walk, tiling, dense);
  } else {
    runAs<float>(call, tape, walk, tiling, dense);
  }
}

constexpr Kernel tapeKernel{"tape", check, workspace, run};
const RegisterKernel registerTape(tapeKernel);

}  // namespace
}  // namespace athanor::ATHANOR_ISA
