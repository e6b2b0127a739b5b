#pragma once

#include <napi.h>

namespace vmic {

/// readClocks, readRegister, readClockState, adjustClock.
void defineClocks(Napi::Env env, Napi::Object exports);

}  // namespace vmic
