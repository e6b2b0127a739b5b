#pragma once

#include <napi.h>

#include <string>

#include "core/failure.h"

namespace vmic {

/// A NativeError as interface.ts describes it.
Napi::Value nativeError(Napi::Env env, const Failure& failure, const std::string& path = {});
/// Throws one; the returned value is what a binding returns after throwing.
Napi::Value throwFailure(Napi::Env env, const Failure& failure, const std::string& path = {});
/// Throws a TypeError: the caller broke the contract.
Napi::Value throwType(Napi::Env env, const char* message);

}  // namespace vmic
