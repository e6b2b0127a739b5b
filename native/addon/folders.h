#pragma once

#include <napi.h>

namespace vmic {

/// Folders and what is in them, by descriptor and name.
void defineFolders(Napi::Env env, Napi::Object exports);

}  // namespace vmic
