#pragma once

#include <napi.h>

namespace vmic {

/// tryLock, unlock, stat, writeWhole, removeRange, notify, sendDatagram: calls without an object.
void defineFiles(Napi::Env env, Napi::Object exports);

}  // namespace vmic
