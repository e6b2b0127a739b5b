#include "addon/error.h"

#include <cstring>

#include "core/errno_name.h"

namespace vmic {

Napi::Value nativeError(Napi::Env env, const Failure& failure, const std::string& path) {
  const std::string name = errnoName(failure.code);
  const bool ring = failure.code == kRingFault;
  std::string message = name + ": ";
  message += ring ? std::string(failure.call)
                  : std::string(std::strerror(failure.code)) + ", " + failure.call;
  if (!path.empty()) message += " '" + path + "'";
  Napi::Object error = Napi::Error::New(env, message).Value();
  error.Set("code", name);
  error.Set("errno", Napi::Number::New(env, ring ? 0 : failure.code));
  error.Set("syscall", failure.call);
  if (!path.empty()) error.Set("path", path);
  return error;
}

Napi::Value throwFailure(Napi::Env env, const Failure& failure, const std::string& path) {
  napi_throw(env, nativeError(env, failure, path));
  return Napi::Value();
}

Napi::Value throwType(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
  return Napi::Value();
}

}  // namespace vmic
