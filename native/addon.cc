// The Node-API door: the only file that knows JavaScript.
#include <napi.h>

#include "registry.h"

namespace {

Napi::Value KernelNames(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  uint32_t i = 0;
  for (const std::string& name : athanor::kernelNames()) names.Set(i++, name);
  return names;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("kernelNames", Napi::Function::New(env, KernelNames, "kernelNames"));
  return exports;
}

}  // namespace

NODE_API_MODULE(athanor, Init)
