// Decoding and validation behind program.h. Every number of the plan is guilty until checked.
#include "program.h"

#include <cstring>

#include "error.h"
#include "registry.h"
#include "shape.h"

namespace athanor {
namespace {

constexpr int64_t magic = 0x4154484E;
constexpr int64_t version = 1;
constexpr int headerWords = 16;
constexpr int tensorWords = 22;
constexpr int codeWords = 8;
constexpr int signatureWords = 10;
constexpr int loopWords = 3;
constexpr int64_t maxCount = int64_t{1} << 28;
constexpr int64_t maxBytes = int64_t{1} << 46;

[[noreturn]] void reject(const std::string& what) { throw EngineError("plan/invalid", what); }

void require(bool condition, const char* what) {
  if (!condition) reject(what);
}

struct Header {
  int64_t numTensors, numCode, numOperands, numParams, arenaBytes, constantBytes, numVariables, numFeeds, numOutputs,
      guard, numLoops;
};

struct Tensor {
  Place place;
  View view;
  int64_t span;  // elements
};

/** Reads the plan's words in order; running past the end is an error, not a read. */
class Reader {
 public:
  explicit Reader(const std::vector<int64_t>& words) : words_(words) {}
  int64_t next() {
    if (position_ >= words_.size()) reject("the plan ends early");
    return words_[position_++];
  }
  double nextDouble() {
    const int64_t word = next();
    double value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }
  int64_t below(int64_t limit, const char* what) {
    const int64_t value = next();
    if (value < 0 || value >= limit) reject(what);
    return value;
  }
  size_t remaining() const { return words_.size() - position_; }
  const int64_t* here() const { return words_.data() + position_; }

 private:
  const std::vector<int64_t>& words_;
  size_t position_ = 0;
};

Header readHeader(Reader& in) {
  require(in.next() == magic, "not a plan: the first word is not the magic number");
  require(in.next() == version, "the plan has another version");
  Header h;
  h.numTensors = in.below(maxCount, "tensor count out of range");
  h.numCode = in.below(maxCount, "instruction count out of range");
  h.numOperands = in.below(maxCount, "operand count out of range");
  h.numParams = in.below(maxCount, "parameter count out of range");
  h.arenaBytes = in.below(maxBytes, "arena size out of range");
  h.constantBytes = in.below(maxBytes, "constant size out of range");
  h.numVariables = in.below(maxCount, "variable count out of range");
  h.numFeeds = in.below(maxCount, "feed count out of range");
  h.numOutputs = in.below(maxCount, "output count out of range");
  h.guard = in.next();
  h.numLoops = in.below(maxCount, "loop count out of range");
  for (int i = 0; i < 3; ++i) require(in.next() == 0, "a reserved header word is not zero");
  // counts are below 2^28 and records below 2^5 words: no sum here can overflow, and no vector outgrows the plan itself
  const int64_t expected = h.numTensors * tensorWords + h.numCode * codeWords + h.numOperands + h.numParams +
                           h.numOutputs + (h.numVariables + h.numFeeds) * signatureWords + h.numLoops * loopWords +
                           (h.constantBytes + 7) / 8;
  require(expected == static_cast<int64_t>(in.remaining()), "the plan's length does not fit its header");
  return h;
}

int64_t readShape(Reader& in, View* view, bool withStrides) {
  for (int64_t& dim : view->shape) dim = in.next();
  for (int64_t& stride : view->strides) stride = withStrides ? in.next() : 0;
  for (int d = view->rank; d < maxRank; ++d) view->shape[d] = view->strides[d] = 0;
  require(countElements(view->shape, view->rank, &view->size), "a shape is negative or too large");
  return view->size;
}

/** A variable or feed: dtype, rank, shape. Dense. */
View readSignature(Reader& in) {
  View view{};
  view.dtype = static_cast<DType>(in.below(numDTypes, "unknown dtype"));
  view.rank = static_cast<int>(in.below(maxRank + 1, "rank out of range"));
  readShape(in, &view, false);
  return view;
}

int64_t bytesOf(const View& view) { return view.size * portable::elementBytes(view.dtype); }

Tensor readTensor(Reader& in) {
  Tensor t{};
  t.place.space = static_cast<Space>(in.below(4, "unknown space"));
  t.place.index = static_cast<int32_t>(in.below(maxCount, "variable or feed index out of range"));
  t.place.offset = in.below(maxBytes, "offset out of range");
  t.view.dtype = static_cast<DType>(in.below(numDTypes, "unknown dtype"));
  t.view.rank = static_cast<int>(in.below(maxRank + 1, "rank out of range"));
  t.place.step = in.next();
  require(t.place.step > -maxBytes && t.place.step < maxBytes, "a step is too large");
  readShape(in, &t.view, true);
  require(countSpan(t.view, &t.span), "a stride is negative or too large");
  const int64_t element = portable::elementBytes(t.view.dtype);
  require(t.place.offset % element == 0 && t.place.step % element == 0, "an offset is not aligned to its element");
  return t;
}

/** A list as long as the header says, one entry per name. */
void requireNames(size_t names, int64_t count, const char* what) {
  if (static_cast<int64_t>(names) != count) reject(std::string(what) + " names do not match the plan");
}

}  // namespace

Program::Program(const PlanSource& source, Isa isa, int numThreads, std::shared_ptr<Store> storeOrNull,
                 const std::shared_ptr<MemoryCounter>& counter)
    : store(std::move(storeOrNull)) {
  Reader in(source.words);
  const Header header = readHeader(in);
  requireNames(source.variableNames.size(), store ? header.numVariables : 0, "variable");
  requireNames(source.feedNames.size(), store ? header.numFeeds : 0, "feed");
  feedNames = source.feedNames;

  std::vector<Tensor> tensors;
  tensors.reserve(static_cast<size_t>(header.numTensors));
  for (int64_t i = 0; i < header.numTensors; ++i) tensors.push_back(readTensor(in));

  std::vector<const Kernel*> kernels;
  for (const std::string& name : source.kernelNames) {
    kernels.push_back(findKernel(name, isa));
    if (kernels.back() == nullptr) throw EngineError("plan/unknown-kernel", name);
  }

  struct Ranges {
    int64_t inputs, numIn, outputs, numOut;
  };
  std::vector<Ranges> ranges;
  code.reserve(static_cast<size_t>(header.numCode));
  for (int64_t i = 0; i < header.numCode; ++i) {
    Instruction instruction{};
    instruction.kernel =
        kernels[static_cast<size_t>(in.below(static_cast<int64_t>(kernels.size()), "kernel index out of range"))];
    const auto range = [&in](int64_t limit, const char* what, int64_t* start, int64_t* count) {
      *start = in.below(limit + 1, what);
      *count = in.below(limit - *start + 1, what);
    };
    Ranges r;
    range(header.numOperands, "an instruction's inputs lie outside the operands", &r.inputs, &r.numIn);
    range(header.numOperands, "an instruction's outputs lie outside the operands", &r.outputs, &r.numOut);
    int64_t firstParam, numParams;
    range(header.numParams, "an instruction's parameters lie outside the parameters", &firstParam, &numParams);
    instruction.numIn = static_cast<int32_t>(r.numIn);
    instruction.numOut = static_cast<int32_t>(r.numOut);
    instruction.params = static_cast<int32_t>(firstParam);
    instruction.numParams = static_cast<int32_t>(numParams);
    const int64_t nodeWord = in.next();
    instruction.node = nodeWord >> 1;
    instruction.commit = (nodeWord & 1) != 0;
    code.push_back(instruction);
    ranges.push_back(r);
  }

  std::vector<int32_t> operandTensors;
  operandTensors.reserve(static_cast<size_t>(header.numOperands));
  for (int64_t i = 0; i < header.numOperands; ++i) {
    operandTensors.push_back(static_cast<int32_t>(in.below(header.numTensors, "an operand is no tensor")));
  }
  params.reserve(static_cast<size_t>(header.numParams));
  for (int64_t i = 0; i < header.numParams; ++i) params.push_back(in.nextDouble());
  std::vector<int64_t> outputTensors;
  for (int64_t i = 0; i < header.numOutputs; ++i) {
    outputTensors.push_back(in.below(header.numTensors, "an output is no tensor"));
  }

  std::vector<int64_t> variableBytes;
  for (int64_t i = 0; i < header.numVariables; ++i) {
    const View expected = readSignature(in);
    variableBytes.push_back(bytesOf(expected));
    if (!store) continue;
    const std::string& name = source.variableNames[static_cast<size_t>(i)];
    const Variable* variable = store->find(name);
    if (variable == nullptr) throw EngineError("plan/unknown-variable", name);
    bool same = variable->spec.dtype == expected.dtype && variable->spec.rank == expected.rank;
    for (int d = 0; same && d < expected.rank; ++d) same = variable->spec.shape[d] == expected.shape[d];
    if (!same) throw EngineError("plan/variable-mismatch", name);
    variableData_.push_back(variable->data);
  }
  int64_t staging = 0;
  const auto addSlot = [&staging](std::vector<Slot>* slots, const View& view) {
    slots->push_back({view.dtype, bytesOf(view), staging});
    staging += (bytesOf(view) + 63) / 64 * 64;
    require(staging < maxBytes, "feeds and outputs are too large");
  };
  for (int64_t i = 0; i < header.numFeeds; ++i) addSlot(&feeds, readSignature(in));

  for (int64_t i = 0, end = 0; i < header.numLoops; ++i) {
    Loop loop{};
    loop.first = in.below(header.numCode, "a loop begins behind the instructions");
    loop.count = in.below(header.numCode - loop.first + 1, "a loop ends behind the instructions");
    loop.turns = in.below(maxCount, "turns out of range");
    require(loop.first >= end && loop.count > 0 && loop.turns > 0, "loops overlap, or are empty");
    end = loop.first + loop.count;
    loops.push_back(loop);
  }

  // every view lies inside its block
  const auto blockBytes = [&](const Place& place) -> int64_t {
    switch (place.space) {
      case Space::arena:
        require(place.index == 0, "an arena tensor has an index");
        return header.arenaBytes;
      case Space::constant:
        require(place.index == 0, "a constant tensor has an index");
        return header.constantBytes;
      case Space::variable:
        require(place.index < header.numVariables, "a tensor names no variable");
        return variableBytes[static_cast<size_t>(place.index)];
      default:
        require(place.index < header.numFeeds, "a tensor names no feed");
        return feeds[static_cast<size_t>(place.index)].bytes;
    }
  };
  for (const Tensor& t : tensors) {
    const int64_t bytes = blockBytes(t.place);
    const int64_t room = bytes - t.place.offset;
    if (room < 0 || t.span > room / portable::elementBytes(t.view.dtype)) reject("a tensor reaches outside its block");
  }

  // outputs of instructions: in memory that may change, and no element twice; what moves stays in its block in every turn
  size_t loopAt = 0;
  for (size_t i = 0; i < code.size(); ++i) {
    Instruction& instruction = code[i];
    instruction.operands = static_cast<int32_t>(operands.size());
    const int64_t at = static_cast<int64_t>(i);
    if (loopAt < loops.size() && at >= loops[loopAt].first + loops[loopAt].count) ++loopAt;
    Loop* loop = loopAt < loops.size() && at >= loops[loopAt].first ? &loops[loopAt] : nullptr;
    if (loop != nullptr && at == loop->first) loop->moving = moving.size();
    const auto add = [&](int64_t start, int64_t count) {
      for (int64_t k = 0; k < count; ++k) {
        const Tensor& t = tensors[static_cast<size_t>(operandTensors[static_cast<size_t>(start + k)])];
        if (t.place.step != 0) {
          require(loop != nullptr, "a tensor moves outside of a loop");
          const int64_t step = t.place.step < 0 ? -t.place.step : t.place.step;
          require(loop->turns - 1 <= maxBytes / step, "a tensor moves out of its block");
          const int64_t last = t.place.offset + t.place.step * (loop->turns - 1);
          const int64_t bytes = t.span * portable::elementBytes(t.view.dtype);
          require(last >= 0 && last <= blockBytes(t.place) - bytes, "a tensor moves out of its block");
          moving.push_back({static_cast<int32_t>(operands.size()), nullptr});
          ++loop->numMoving;
        }
        operands.push_back(t.view);
        places.push_back(t.place);
      }
      require(operands.size() < static_cast<size_t>(maxCount), "too many operands");
    };
    add(ranges[i].inputs, ranges[i].numIn);
    add(ranges[i].outputs, ranges[i].numOut);
    const size_t firstOutput = static_cast<size_t>(instruction.operands + instruction.numIn);
    const auto complain = [&](const std::string& what) {
      throw EngineError("plan/instruction", what)
          .atInstruction(static_cast<int64_t>(i), instruction.node, instruction.kernel->name);
    };
    for (size_t k = firstOutput; k < operands.size(); ++k) {
      if (places[k].space == Space::feed || places[k].space == Space::constant) complain("writes to a feed or constant");
      if (!writesEachElementOnce(operands[k])) complain("an output's view repeats elements");
    }
    const View* views = operands.data() + instruction.operands;
    const Call call{views,          instruction.numIn,
                    views + instruction.numIn, instruction.numOut,
                    params.data() + instruction.params, instruction.numParams,
                    nullptr,        nullptr,
                    nullptr};
    if (const char* reason = instruction.kernel->check(call)) complain(reason);
    if (instruction.kernel->workspace != nullptr) {
      const size_t bytes = instruction.kernel->workspace(call, numThreads);
      if (bytes > static_cast<size_t>(maxBytes)) complain("needs too much workspace");
      if (bytes > workspaceBytes) workspaceBytes = bytes;
    }
  }
  arenaBytes = static_cast<size_t>(header.arenaBytes);

  for (const int64_t index : outputTensors) {
    const Tensor& t = tensors[static_cast<size_t>(index)];
    addSlot(&outputs, t.view);
    require(t.place.step == 0, "an output moves");
    outputViews.push_back(t.view);
    outputPlaces.push_back(t.place);
  }
  stagingBytes = static_cast<size_t>(staging);
  if (header.guard != -1) {
    require(header.guard >= 0 && header.guard < header.numTensors, "the guard is no tensor");
    const Tensor& t = tensors[static_cast<size_t>(header.guard)];
    require(t.view.dtype == DType::bool_ && t.view.size == 1 && t.place.step == 0, "the guard is not one bool");
    guard = static_cast<int64_t>(outputViews.size());
    outputViews.push_back(t.view);
    outputPlaces.push_back(t.place);
  }
  if (!store) return;
  constants_ = Block(static_cast<size_t>(header.constantBytes), counter);
  if (header.constantBytes > 0) std::memcpy(constants_.data(), in.here(), static_cast<size_t>(header.constantBytes));
  store->reserveScratch(arenaBytes, workspaceBytes);
}

Block Program::takeStaging(const std::shared_ptr<MemoryCounter>& counter) {
  if (idleStaging.empty()) return Block(stagingBytes, counter);
  Block block = std::move(idleStaging.back());
  idleStaging.pop_back();
  return block;
}

char* Program::address(const Place& place, char* arena, char* staging) const {
  switch (place.space) {
    case Space::arena:
      return arena + place.offset;
    case Space::variable:
      return variableData_[static_cast<size_t>(place.index)] + place.offset;
    case Space::feed:
      return staging + feeds[static_cast<size_t>(place.index)].offset + place.offset;
    default:
      return constants_.data() + place.offset;
  }
}

void Program::moveTo(const Loop& loop, int64_t turn) {
  for (size_t i = loop.moving; i < loop.moving + loop.numMoving; ++i) {
    const size_t operand = static_cast<size_t>(moving[i].operand);
    operands[operand].data = moving[i].base + turn * places[operand].step;
  }
}

void Program::bind(char* arena, char* staging) {
  const bool arenaMoved = !bound_ || arena != boundArena_;
  const bool stagingMoved = !bound_ || staging != boundStaging_;
  if (!arenaMoved && !stagingMoved) return;
  const auto bindAll = [&](std::vector<View>& views, const std::vector<Place>& where) {
    for (size_t i = 0; i < views.size(); ++i) {
      const bool moved = where[i].space == Space::feed ? stagingMoved : arenaMoved;
      if (moved) views[i].data = address(where[i], arena, staging);
    }
  };
  bindAll(operands, places);
  for (Moving& one : moving) one.base = address(places[static_cast<size_t>(one.operand)], arena, staging);
  bindAll(outputViews, outputPlaces);
  boundArena_ = arena;
  boundStaging_ = staging;
  bound_ = true;
}

}  // namespace athanor
