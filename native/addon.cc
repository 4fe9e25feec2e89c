// The Node-API door: the only file that knows JavaScript. It checks every argument, copies what a run needs, and
// settles promises. No pointer leaves it, and no JavaScript handle leaves the JavaScript thread.
//
// Lifetimes. An Engine object owns the executor; Stores and Programs own their C++ halves by shared_ptr, so the garbage
// collector may take them in any order. While a run is pending the Engine holds itself. When the environment ends
// (process exit, a worker that stops), a cleanup hook stops the executor before anything it uses goes away.
#include <napi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "error.h"
#include "executor.h"
#include "registry.h"
#include "tape-opcodes.h"

namespace {

using namespace athanor;

constexpr uint32_t maxListLength = 1u << 22;
constexpr int maxThreads = 256;
constexpr double maxInteger = 9007199254740992.0;
constexpr auto longestHold = std::chrono::milliseconds(5);  // of the JavaScript thread, by brief runs one after the other
constexpr size_t externalFrom = size_t{1} << 20;  // larger buffers come from malloc: V8 aborts when it cannot allocate

constexpr napi_type_tag storeTag = {0x6174686Eu, 0x53544F5245ull};
constexpr napi_type_tag programTag = {0x6174686Eu, 0x50524F4752ull};

const char* const dtypeNames[numDTypes] = {"f64", "f32", "bf16", "f16", "i64", "i32", "u8", "bool"};

class EngineObject;

/** Per environment. Constructors are not public: they only run while `constructing` points to what to adopt. */
struct AddonData {
  Napi::FunctionReference engineClass;
  Napi::FunctionReference storeClass;
  Napi::FunctionReference programClass;
  void* constructing = nullptr;
};

AddonData& dataOf(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

/** Calls a private constructor, which takes its C++ half from `seed`. */
template <class Seed>
Napi::Object construct(Napi::Env env, const Napi::FunctionReference& type, Seed* seed) {
  struct Guard {
    void*& slot;
    ~Guard() { slot = nullptr; }
  } guard{dataOf(env).constructing};
  guard.slot = seed;
  try {
    return type.New({});
  } catch (const Napi::Error&) {
    if (guard.slot == seed) throw std::bad_alloc();  // the constructor was not reached: there was no room for the object
    throw;
  }
}

// ---- errors ----

/** Allocates nothing of its own: it also tells that there is no memory. */
Napi::Error makeError(Napi::Env env, const char* code, const char* what) {
  Napi::Error js = Napi::Error::New(env, what);
  js.Set("code", Napi::String::New(env, code));
  return js;
}

Napi::Error makeError(Napi::Env env, const EngineError& error) {
  Napi::Error js = makeError(env, error.code.c_str(), error.what());
  if (!error.kernel.empty()) js.Set("kernel", Napi::String::New(env, error.kernel));
  const auto setNumber = [&](const char* name, int64_t value) {
    js.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  if (error.instruction >= 0) {
    setNumber("instruction", error.instruction);
    setNumber("node", error.node);
  }
  if (error.entry >= 0) setNumber("entry", error.entry);
  if (error.hasValue) setNumber("value", error.value);
  return js;
}

/** A Value, as Array::Set would copy a Napi::String back into C++, and that may fail. */
Napi::Value toValue(Napi::Env env, std::string_view text) { return Napi::String::New(env, text); }

[[noreturn]] void failArgument(const std::string& what) { throw EngineError("engine/argument", what); }

/** Runs a body of C++ and turns every exception that is not already JavaScript's into one. */
template <class Body>
auto guarded(Napi::Env env, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const EngineError& error) {
    throw makeError(env, error);
  } catch (const std::bad_alloc&) {
    throw makeError(env, "engine/out-of-memory", "the system refused memory");
  } catch (const std::length_error&) {
    throw makeError(env, "engine/out-of-memory", "the system refused memory");
  } catch (const std::system_error& error) {
    throw makeError(env, "engine/threads", error.what());
  }
}

// ---- arguments ----

Napi::Array toArray(const Napi::Value& value, const char* what) {
  if (!value.IsArray()) failArgument(std::string(what) + ": expected an array");
  Napi::Array array = value.As<Napi::Array>();
  if (array.Length() > maxListLength) failArgument(std::string(what) + ": too long");
  return array;
}

std::string toText(const Napi::Value& value, const char* what) {
  if (!value.IsString()) failArgument(std::string(what) + ": expected a string");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<std::string> toTexts(const Napi::Value& value, const char* what) {
  const Napi::Array array = toArray(value, what);
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < array.Length(); ++i) texts.push_back(toText(array.Get(i), what));
  return texts;
}

int64_t toInteger(const Napi::Value& value, const char* what, double low, double high) {
  if (!value.IsNumber()) failArgument(std::string(what) + ": expected a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= low && number <= high) || number != std::floor(number)) {
    failArgument(std::string(what) + ": expected an integer in range");
  }
  return static_cast<int64_t>(number);
}

DType toDType(const Napi::Value& value) {
  const std::string name = toText(value, "dtype");
  for (int i = 0; i < numDTypes; ++i) {
    if (name == dtypeNames[i]) return static_cast<DType>(i);
  }
  failArgument("dtype: unknown name '" + name + "'");
}

struct Bytes {
  const void* data = nullptr;
  size_t length = 0;
  bool raw = true;  // bytes without a type: a Uint8Array, DataView or ArrayBuffer
  napi_typedarray_type type = napi_uint8_array;
};

/** The memory behind a view, now. Runs no JavaScript; a detached buffer has length 0. */
Bytes bytesOf(const Napi::Value& value, const char* what) {
  Bytes bytes;
  napi_env env = value.Env();
  void* data = nullptr;
  if (value.IsTypedArray()) {
    size_t length = 0;
    napi_value buffer;
    size_t offset;
    if (napi_get_typedarray_info(env, value, &bytes.type, &length, &data, &buffer, &offset) != napi_ok) {
      failArgument(std::string(what) + ": unreadable typed array");
    }
    constexpr size_t elementBytes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};  // in the order of napi_typedarray_type
    if (static_cast<size_t>(bytes.type) >= std::size(elementBytes)) failArgument(std::string(what) + ": unknown array");
    bytes.length = length * elementBytes[bytes.type];
    bytes.raw = bytes.type == napi_uint8_array;
  } else if (value.IsDataView()) {
    napi_value buffer;
    size_t offset;
    if (napi_get_dataview_info(env, value, &bytes.length, &data, &buffer, &offset) != napi_ok) {
      failArgument(std::string(what) + ": unreadable view");
    }
  } else if (value.IsArrayBuffer()) {
    if (napi_get_arraybuffer_info(env, value, &data, &bytes.length) != napi_ok) {
      failArgument(std::string(what) + ": unreadable buffer");
    }
  } else {
    failArgument(std::string(what) + ": expected an ArrayBuffer or a view of one");
  }
  if (data == nullptr) bytes.length = 0;
  bytes.data = data;
  return bytes;
}

bool holds(napi_typedarray_type type, DType dtype) {
  switch (dtype) {
    case DType::f64:
      return type == napi_float64_array;
    case DType::f32:
      return type == napi_float32_array;
    case DType::bf16:
    case DType::f16:
      return type == napi_uint16_array;
    case DType::i64:
      return type == napi_bigint64_array;
    case DType::i32:
      return type == napi_int32_array;
    default:
      return type == napi_uint8_array || type == napi_uint8_clamped_array;
  }
}

/** A fresh ArrayBuffer with a copy of the bytes. */
Napi::Value copyToBuffer(Napi::Env env, const void* data, size_t length) {
  if (length < externalFrom) {
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, length);
    if (length > 0) std::memcpy(buffer.Data(), data, length);
    return buffer;
  }
  std::unique_ptr<void, decltype(&std::free)> copy(std::malloc(length), std::free);
  if (!copy) throw EngineError("engine/out-of-memory", "no room for a buffer of " + std::to_string(length) + " bytes");
  std::memcpy(copy.get(), data, length);
  Napi::Value buffer = Napi::ArrayBuffer::New(env, copy.get(), length, [](Napi::Env, void* bytes) { std::free(bytes); });
  copy.release();
  return buffer;
}

// ---- Store ----

/** What of a store's memory the garbage collector has been told about. */
class ExternalMemory {
 public:
  void add(Napi::Env env, int64_t bytes) {
    bytes_ += bytes;
    if (bytes != 0) Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  }
  void clear(Napi::Env env) { add(env, -bytes_); }

 private:
  int64_t bytes_ = 0;
};

struct StoreSeed {
  std::shared_ptr<Store> store;
  uint64_t engineId;
};

class StoreObject : public Napi::ObjectWrap<StoreObject> {
 public:
  explicit StoreObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StoreObject>(info) {
    auto* seed = static_cast<StoreSeed*>(std::exchange(dataOf(info.Env()).constructing, nullptr));
    if (seed == nullptr) throw Napi::TypeError::New(info.Env(), "a Store is made by engine.createStore()");
    store = seed->store;
    engineId = seed->engineId;
    info.This().As<Napi::Object>().TypeTag(&storeTag);
  }

  void Finalize(Napi::Env env) override { external.clear(env); }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Store",
                       {InstanceMethod<&StoreObject::declare>("declare"), InstanceMethod<&StoreObject::read>("read"),
                        InstanceMethod<&StoreObject::write>("write"), InstanceMethod<&StoreObject::names>("names"),
                        InstanceMethod<&StoreObject::variables>("variables")});
  }

  std::shared_ptr<Store> store;
  uint64_t engineId = 0;
  ExternalMemory external;

 private:
  Napi::Value declare(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Napi::Array list = toArray(info[0], "declare");
      std::vector<VariableSpec> specs;
      for (uint32_t i = 0; i < list.Length(); ++i) {
        const Napi::Value item = list.Get(i);
        if (!item.IsObject()) failArgument("declare: expected {name, dtype, shape}");
        const Napi::Object object = item.As<Napi::Object>();
        VariableSpec spec{};
        spec.name = toText(object.Get("name"), "name");
        spec.dtype = toDType(object.Get("dtype"));
        const Napi::Array shape = toArray(object.Get("shape"), "shape");
        if (shape.Length() > maxRank) failArgument("shape: at most 8 dims");
        spec.rank = static_cast<int>(shape.Length());
        for (int d = 0; d < spec.rank; ++d) {
          spec.shape[d] = toInteger(shape.Get(static_cast<uint32_t>(d)), "shape", 0, maxInteger);
        }
        specs.push_back(std::move(spec));
      }
      external.add(info.Env(), static_cast<int64_t>(store->declare(specs)));
      return info.Env().Undefined();
    });
  }

  const Variable& idleVariable(const Napi::Value& name) {
    const std::string text = toText(name, "variable name");
    const Variable* variable = store->find(text);
    if (variable == nullptr) throw EngineError("store/unknown-variable", text);
    if (store->runsInFlight.load() > 0) throw EngineError("store/busy", text);
    return *variable;
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Variable& variable = idleVariable(info[0]);
      if (!info[2].IsUndefined()) return readPart(info, variable);
      if (info[1].IsUndefined()) return copyToBuffer(info.Env(), variable.data, variable.bytes);
      const Bytes into = bytesOf(info[1], "read");
      if (into.length < static_cast<size_t>(variable.bytes)) failArgument("read: the buffer is too small");
      if (variable.bytes > 0) std::memcpy(const_cast<void*>(into.data), variable.data, variable.bytes);
      return info[1];
    });
  }

  /** {start, step, count} of elements, gathered. */
  static Napi::Value readPart(const Napi::CallbackInfo& info, const Variable& variable) {
    if (!info[2].IsObject()) failArgument("read: expected {start, step, count}");
    const Napi::Object part = info[2].As<Napi::Object>();
    const size_t size = portable::elementBytes(variable.spec.dtype);
    const auto elements = static_cast<double>(variable.bytes / size);
    const int64_t start = toInteger(part.Get("start"), "start", 0, elements);
    const int64_t step = toInteger(part.Get("step"), "step", 1, std::max(1.0, elements));
    const int64_t count = toInteger(part.Get("count"), "count", 0, elements);
    if (count > 0 && static_cast<double>(start) + static_cast<double>(count - 1) * static_cast<double>(step) >= elements) {
      failArgument("read: the part is not within the variable");
    }
    Napi::Value target = info[1];
    if (target.IsUndefined()) target = Napi::ArrayBuffer::New(info.Env(), count * size);
    const Bytes into = bytesOf(target, "read");
    if (into.length < count * size) failArgument("read: the buffer is too small");
    auto* to = static_cast<char*>(const_cast<void*>(into.data));
    if (step == 1 && count > 0) std::memcpy(to, variable.data + start * size, count * size);
    if (step > 1) {
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * size, variable.data + (start + i * step) * size, size);
    }
    return target;
  }

  Napi::Value write(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Variable& variable = idleVariable(info[0]);
      const Bytes bytes = bytesOf(info[1], "write");
      if (!bytes.raw && !holds(bytes.type, variable.spec.dtype)) failArgument("write: the array has another dtype");
      if (bytes.length != variable.bytes) {
        throw EngineError("store/length", "variable '" + variable.spec.name + "' holds " +
                                              std::to_string(variable.bytes) + " bytes, not " +
                                              std::to_string(bytes.length));
      }
      if (bytes.length > 0) std::memmove(variable.data, bytes.data, bytes.length);
      return info.Env().Undefined();
    });
  }

  Napi::Value names(const Napi::CallbackInfo& info) {
    Napi::Array list = Napi::Array::New(info.Env());
    uint32_t i = 0;
    for (const auto& [name, variable] : store->variables()) list.Set(i++, toValue(info.Env(), name));
    return list;
  }

  Napi::Value variables(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Array list = Napi::Array::New(env);
    uint32_t i = 0;
    for (const auto& [name, variable] : store->variables()) {
      Napi::Object item = Napi::Object::New(env);
      Napi::Array shape = Napi::Array::New(env);
      for (int d = 0; d < variable.spec.rank; ++d) {
        shape.Set(static_cast<uint32_t>(d), Napi::Number::New(env, static_cast<double>(variable.spec.shape[d])));
      }
      item.Set("name", name);
      item.Set("dtype", dtypeNames[static_cast<int>(variable.spec.dtype)]);
      item.Set("shape", shape);
      list.Set(i++, item);
    }
    return list;
  }
};

// ---- Program ----

struct ProgramSeed {
  std::shared_ptr<Program> program;
  uint64_t engineId;
};

class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  explicit ProgramObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramObject>(info) {
    auto* seed = static_cast<ProgramSeed*>(std::exchange(dataOf(info.Env()).constructing, nullptr));
    if (seed == nullptr) throw Napi::TypeError::New(info.Env(), "a Program is made by engine.load()");
    program = seed->program;
    engineId = seed->engineId;
    info.This().As<Napi::Object>().TypeTag(&programTag);
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Program",
                       {InstanceAccessor<&ProgramObject::arenaBytes>("arenaBytes"),
                        InstanceAccessor<&ProgramObject::workspaceBytes>("workspaceBytes"),
                        InstanceAccessor<&ProgramObject::stagingBytes>("stagingBytes")});
  }

  std::shared_ptr<Program> program;
  uint64_t engineId = 0;

 private:
  static Napi::Value number(const Napi::CallbackInfo& info, size_t value) {
    return Napi::Number::New(info.Env(), static_cast<double>(value));
  }
  Napi::Value arenaBytes(const Napi::CallbackInfo& info) { return number(info, program->arenaBytes); }
  Napi::Value workspaceBytes(const Napi::CallbackInfo& info) { return number(info, program->workspaceBytes); }
  Napi::Value stagingBytes(const Napi::CallbackInfo& info) { return number(info, program->stagingBytes); }
};

// ---- Engine ----

struct EngineSeed {
  Isa isa;
  int threads;
};

/** What the wake-up function knows. It may be called once more after its engine is gone. */
struct Door {
  EngineObject* engine;
};

class EngineObject : public Napi::ObjectWrap<EngineObject> {
  using Clock = std::chrono::steady_clock;

 public:
  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info), env_(info.Env()) {
    auto* seed = static_cast<EngineSeed*>(std::exchange(dataOf(info.Env()).constructing, nullptr));
    if (seed == nullptr) throw Napi::TypeError::New(info.Env(), "an Engine is made by createEngine()");
    static std::atomic<uint64_t> nextId{1};
    id_ = nextId.fetch_add(1);
    isa_ = seed->isa;
    door_ = guarded(info.Env(), [&] { return new Door{this}; });
    const napi_status made = napi_create_threadsafe_function(
        env_, nullptr, nullptr, Napi::String::New(info.Env(), "athanor.run"), 0, 1, door_,
        [](napi_env, void* door, void*) { delete static_cast<Door*>(door); }, door_, onFinished, &wake_);
    if (made != napi_ok) {
      delete door_;
      throw Napi::Error::New(info.Env(), "the engine's callback could not be made");
    }
    napi_unref_threadsafe_function(env_, wake_);  // an idle engine keeps no process alive
    try {
      guarded(info.Env(), [&] {
        executor_ = std::make_unique<Executor>(seed->threads, [wake = wake_] {
          napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking);  // fails only while the environment ends
        });
      });
    } catch (...) {
      door_->engine = nullptr;
      napi_release_threadsafe_function(wake_, napi_tsfn_abort);
      throw;
    }
    napi_add_env_cleanup_hook(env_, onEnvironmentEnd, this);
  }

  ~EngineObject() override {
    if (!executor_) return;
    napi_remove_env_cleanup_hook(env_, onEnvironmentEnd, this);
    shutDown();
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Engine",
        {InstanceMethod<&EngineObject::info>("info"), InstanceMethod<&EngineObject::createStore>("createStore"),
         InstanceMethod<&EngineObject::load>("load"), InstanceMethod<&EngineObject::workspaceBytes>("workspaceBytes"),
         InstanceMethod<&EngineObject::run>("run")});
  }

 private:
  static void onEnvironmentEnd(void* engine) { static_cast<EngineObject*>(engine)->shutDown(); }

  void shutDown() {
    executor_.reset();  // from here on nothing calls wake_
    door_->engine = nullptr;
    napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  }

  static void onFinished(napi_env env, napi_value, void* context, void*) {
    if (env == nullptr) return;  // the environment ends: its finalizer ran first and the door is gone
    EngineObject* engine = static_cast<Door*>(context)->engine;
    if (engine == nullptr) return;
    try {
      engine->settle();
    } catch (const Napi::Error&) {  // JavaScript can no longer run here: the environment is ending
    }
  }

  Napi::Value info(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Object result = Napi::Object::New(env);
    Napi::Array features = Napi::Array::New(env);
    uint32_t i = 0;
    for (const std::string& feature : guarded(env, cpuFeatures)) features.Set(i++, toValue(env, feature));
    result.Set("isa", isaName(isa_));
    result.Set("threads", executor_ ? executor_->numThreads() : 0);
    result.Set("cpuFeatures", features);
    result.Set("currentBytes", static_cast<double>(counter_->current.load()));
    result.Set("peakBytes", static_cast<double>(counter_->peak.load()));
    return result;
  }

  Napi::Value createStore(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      StoreSeed seed{std::make_shared<Store>(counter_), id_};
      return construct(info.Env(), dataOf(info.Env()).storeClass, &seed);
    });
  }

  static PlanSource toPlan(const Napi::CallbackInfo& info) {
    PlanSource source;
    source.kernelNames = toTexts(info[1], "kernelNames");
    const Bytes bytes = bytesOf(info[0], "plan");
    if (bytes.length % 8 != 0) throw EngineError("plan/invalid", "the plan is not a whole number of words");
    source.words.resize(bytes.length / 8);
    if (bytes.length > 0) std::memcpy(source.words.data(), bytes.data, bytes.length);
    return source;
  }

  Napi::Value load(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      std::vector<std::string> variableNames = toTexts(info[2], "variableNames");
      std::vector<std::string> feedNames = toTexts(info[3], "feedNames");
      if (!info[4].IsObject() || !info[4].As<Napi::Object>().CheckTypeTag(&storeTag)) {
        failArgument("load: expected a Store");
      }
      StoreObject* storeObject = StoreObject::Unwrap(info[4].As<Napi::Object>());
      if (storeObject->engineId != id_) failArgument("load: the Store belongs to another engine");
      PlanSource source = toPlan(info);
      source.variableNames = std::move(variableNames);
      source.feedNames = std::move(feedNames);
      const int64_t before = storeObject->store->scratchBytes();
      ProgramSeed seed{std::make_shared<Program>(source, isa_, executor().numThreads(), storeObject->store, counter_), id_};
      seed.program->idleStaging.emplace_back(seed.program->stagingBytes, counter_);
      storeObject->external.add(info.Env(), storeObject->store->scratchBytes() - before);
      return construct(info.Env(), dataOf(info.Env()).programClass, &seed);
    });
  }

  Napi::Value workspaceBytes(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Program program(toPlan(info), isa_, executor().numThreads(), nullptr, nullptr);
      return Napi::Number::New(info.Env(), static_cast<double>(program.workspaceBytes));
    });
  }

  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Napi::Env env = info.Env();
      // first everything that could run foreign JavaScript (getters), then everything that looks at memory
      const Napi::Array list = toArray(info[0], "run");
      std::vector<ProgramObject*> programs;
      std::vector<std::vector<Napi::Value>> feeds;
      for (uint32_t i = 0; i < list.Length(); ++i) {
        const Napi::Value item = list.Get(i);
        if (!item.IsObject()) failArgument("run: expected [{program, feeds}]");
        const Napi::Value program = item.As<Napi::Object>().Get("program");
        if (!program.IsObject() || !program.As<Napi::Object>().CheckTypeTag(&programTag)) {
          failArgument("run: expected a Program");
        }
        programs.push_back(ProgramObject::Unwrap(program.As<Napi::Object>()));
        if (programs.back()->engineId != id_) failArgument("run: the Program belongs to another engine");
        const Napi::Array values = toArray(item.As<Napi::Object>().Get("feeds"), "feeds");
        if (values.Length() != programs.back()->program->feeds.size()) {
          throw EngineError("run/feeds", "expected " + std::to_string(programs.back()->program->feeds.size()) +
                                             " feeds, got " + std::to_string(values.Length()));
        }
        feeds.emplace_back();
        for (uint32_t k = 0; k < values.Length(); ++k) feeds.back().push_back(values.Get(k));
      }
      Jobs jobs(1);
      Job& job = jobs.front();
      if (info[1].IsObject()) {
        job.profile = info[1].As<Napi::Object>().Get("profile").ToBoolean();
      } else if (!info[1].IsUndefined()) {
        failArgument("run: expected options");
      }

      for (size_t i = 0; i < programs.size(); ++i) {
        Entry entry;
        entry.program = programs[i]->program;
        entry.staging = entry.program->takeStaging(counter_);
        if (job.profile) entry.profile.resize(entry.program->code.size());
        for (size_t k = 0; k < feeds[i].size(); ++k) copyFeed(feeds[i][k], *entry.program, k, entry.staging.data());
        job.entries.push_back(std::move(entry));
      }
      // A brief run is made here: the way to the executor's thread and back would take longer. The event loop gets its turn.
      if (pending_.empty() && Executor::isBrief(job) && Clock::now() - lastTurn_ < longestHold) {
        const Napi::Promise::Deferred deferred(env);
        executor().run(job);
        settle(env, deferred, job);
        return deferred.Promise();
      }
      job.id = ++lastRun_;
      const Napi::Promise::Deferred& deferred = pending_.try_emplace(job.id).first->second.emplace(env);
      if (pending_.size() == 1) {
        Ref();
        napi_ref_threadsafe_function(env_, wake_);
      }
      executor().submit(std::move(jobs));
      return deferred.Promise();
    });
  }

  static void copyFeed(const Napi::Value& value, const Program& program, size_t index, char* staging) {
    const Slot& slot = program.feeds[index];
    const Bytes bytes = bytesOf(value, "feed");
    const auto fail = [&](const std::string& what) {
      throw EngineError("run/feeds", "feed '" + program.feedNames[index] + "': " + what);
    };
    if (!bytes.raw && !holds(bytes.type, slot.dtype)) fail("the array has another dtype");
    if (bytes.length != static_cast<size_t>(slot.bytes)) {
      fail("expected " + std::to_string(slot.bytes) + " bytes, got " + std::to_string(bytes.length));
    }
    if (bytes.length > 0) std::memcpy(staging + slot.offset, bytes.data, bytes.length);
  }

  Executor& executor() {
    if (!executor_) throw EngineError("engine/stopped", "the engine has stopped");
    return *executor_;
  }

  /** Settles the promises of all runs that have finished. */
  void settle() {
    const Napi::Env env(env_);
    lastTurn_ = Clock::now();
    Jobs finished = executor_->takeFinished();
    for (Job& job : finished) {
      const Napi::HandleScope scope(env);
      const auto found = pending_.find(job.id);
      if (found == pending_.end()) continue;
      const Napi::Promise::Deferred deferred = *found->second;
      pending_.erase(found);
      if (pending_.empty()) {
        napi_unref_threadsafe_function(env_, wake_);
        Unref();
      }
      settle(env, deferred, job);
    }
  }

  static void settle(Napi::Env env, const Napi::Promise::Deferred& deferred, Job& job) {
    try {
      guarded(env, [&] {
        if (job.error) std::rethrow_exception(job.error);
        deferred.Resolve(resultOf(env, job));
      });
    } catch (const Napi::Error& error) {
      deferred.Reject(error.Value());
    }
    try {
      for (Entry& entry : job.entries) entry.program->idleStaging.push_back(std::move(entry.staging));
    } catch (const std::bad_alloc&) {  // what is not kept is given back: later runs take their own
    }
  }

  static Napi::Value resultOf(Napi::Env env, const Job& job) {
    Napi::Array results = Napi::Array::New(env, job.entries.size());
    Napi::Array profiles = Napi::Array::New(env);
    for (uint32_t i = 0; i < job.entries.size(); ++i) {
      const Entry& entry = job.entries[i];
      const std::vector<Slot>& slots = entry.program->outputs;
      Napi::Array outputs = Napi::Array::New(env, slots.size());
      for (uint32_t k = 0; k < slots.size(); ++k) {
        outputs.Set(k, copyToBuffer(env, entry.staging.data() + slots[k].offset, static_cast<size_t>(slots[k].bytes)));
      }
      Napi::Object result = Napi::Object::New(env);
      result.Set("committed", entry.committed);
      result.Set("outputs", outputs);
      results.Set(i, result);
      if (!job.profile) continue;
      Napi::Float64Array times = Napi::Float64Array::New(env, entry.profile.size());
      std::copy(entry.profile.begin(), entry.profile.end(), times.Data());
      profiles.Set(i, times);
    }
    Napi::Object value = Napi::Object::New(env);
    value.Set("results", results);
    if (job.profile) value.Set("profile", profiles);
    return value;
  }

  napi_env env_;
  uint64_t id_ = 0;
  Isa isa_ = Isa::portable;
  std::shared_ptr<MemoryCounter> counter_ = std::make_shared<MemoryCounter>();
  Door* door_ = nullptr;  // freed by wake_'s finalizer
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<Executor> executor_;
  std::map<uint64_t, std::optional<Napi::Promise::Deferred>> pending_;
  uint64_t lastRun_ = 0;
  Clock::time_point lastTurn_;  // when the event loop last brought a finished run
};

// ---- module ----

Napi::Value createEngine(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    EngineSeed seed{bestIsa(), static_cast<int>(std::thread::hardware_concurrency())};
    if (info[0].IsObject()) {
      const Napi::Object options = info[0].As<Napi::Object>();
      if (const Napi::Value threads = options.Get("threads"); !threads.IsUndefined()) {
        seed.threads = static_cast<int>(toInteger(threads, "threads", 1, maxThreads));
      }
      if (const Napi::Value isa = options.Get("isa"); !isa.IsUndefined()) {
        const std::string name = toText(isa, "isa");
        if (!isaFromName(name, &seed.isa)) throw EngineError("engine/isa", "unknown instruction set '" + name + "'");
        if (seed.isa > bestIsa()) throw EngineError("engine/isa", "this processor has no " + name);
      }
    } else if (!info[0].IsUndefined()) {
      failArgument("createEngine: expected {threads, isa}");
    }
    seed.threads = std::clamp(seed.threads, 1, maxThreads);
    return construct(info.Env(), dataOf(info.Env()).engineClass, &seed);
  });
}

Napi::Value listKernelNames(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  uint32_t i = 0;
  for (const std::string& name : guarded(info.Env(), kernelNames)) names.Set(i++, toValue(info.Env(), name));
  return names;
}

Napi::Value listTapeOpcodes(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  uint32_t i = 0;
#define ATHANOR_OPCODE_NAME(name) names.Set(i++, toValue(info.Env(), #name));
  ATHANOR_TAPE_OPCODES(ATHANOR_OPCODE_NAME)
#undef ATHANOR_OPCODE_NAME
  return names;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData;
  data->engineClass = Napi::Persistent(EngineObject::define(env));
  data->storeClass = Napi::Persistent(StoreObject::define(env));
  data->programClass = Napi::Persistent(ProgramObject::define(env));
  env.SetInstanceData(data);
  exports.Set("createEngine", Napi::Function::New(env, createEngine, "createEngine"));
  exports.Set("kernelNames", Napi::Function::New(env, listKernelNames, "kernelNames"));
  exports.Set("tapeOpcodes", Napi::Function::New(env, listTapeOpcodes, "tapeOpcodes"));
  return exports;
}

}  // namespace

NODE_API_MODULE(athanor, init)
