#include "addon/folders.h"

#include <cerrno>
#include <string>

#include "addon/arguments.h"
#include "addon/error.h"
#include "core/folder.h"

namespace vmic {
namespace {

constexpr const char* kNoFd = "folder must be a descriptor";
constexpr const char* kNoPath = "path must be a string without NUL";

/// One name in a folder: what could lead elsewhere is the caller's fault, like a NUL.
bool nameArgument(const Napi::Value& value, std::string& name) {
  return pathArgument(value, name) && !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string::npos;
}
constexpr const char* kNoName = "name must be that of one entry";

Napi::Value descriptor(Napi::Env env, const Failure& failure, Fd& fd, const std::string& path) {
  if (failure) return throwFailure(env, failure, path);
  return Napi::Number::New(env, fd.release());
}

Napi::Value openBelow(const Napi::CallbackInfo& info) {
  int folder = -1;
  std::string path;
  if (!fdArgument(info[0], folder)) return throwType(info.Env(), kNoFd);
  if (!pathArgument(info[1], path)) return throwType(info.Env(), kNoPath);
  const std::string links = info[2].IsString() ? info[2].As<Napi::String>().Utf8Value() : "";
  if (links != "beneath" && links != "rooted")
    return throwType(info.Env(), "links must be 'beneath' or 'rooted'");
  Fd opened;
  const Failure failure =
      openFolder(folder, path.c_str(), links == "beneath" ? Links::beneath : Links::rooted, opened);
  return descriptor(info.Env(), failure, opened, path);
}

Napi::Value make(const Napi::CallbackInfo& info) {
  int folder = -1;
  std::string name;
  if (!fdArgument(info[0], folder)) return throwType(info.Env(), kNoFd);
  if (!nameArgument(info[1], name)) return throwType(info.Env(), kNoName);
  Fd made;
  const Failure failure = makeFolder(folder, name.c_str(), made);
  return descriptor(info.Env(), failure, made, name);
}

Napi::Value create(const Napi::CallbackInfo& info) {
  int folder = -1;
  std::string name;
  if (!fdArgument(info[0], folder)) return throwType(info.Env(), kNoFd);
  Fd file;
  if (info[1].IsUndefined()) return descriptor(info.Env(), createUnnamed(folder, file), file, name);
  if (!nameArgument(info[1], name)) return throwType(info.Env(), kNoName);
  const Failure failure = createNamed(folder, name.c_str(), file);
  return descriptor(info.Env(), failure, file, name);
}

Napi::Value name(const Napi::CallbackInfo& info) {
  int file = -1;
  int folder = -1;
  std::string name;
  if (!fdArgument(info[0], file) || !fdArgument(info[1], folder))
    return throwType(info.Env(), kNoFd);
  if (!nameArgument(info[2], name)) return throwType(info.Env(), kNoName);
  if (const Failure failure = nameFile(file, folder, name.c_str()))
    return throwFailure(info.Env(), failure, name);
  return Napi::Value();
}

Napi::Value rename(const Napi::CallbackInfo& info) {
  int fromFolder = -1;
  int toFolder = -1;
  std::string from;
  std::string to;
  if (!fdArgument(info[0], fromFolder) || !fdArgument(info[2], toFolder))
    return throwType(info.Env(), kNoFd);
  if (!nameArgument(info[1], from) || !nameArgument(info[3], to))
    return throwType(info.Env(), kNoName);
  if (!info[4].IsBoolean()) return throwType(info.Env(), "replace must be true or false");
  const Failure failure =
      renameFile(fromFolder, from.c_str(), toFolder, to.c_str(), info[4].As<Napi::Boolean>());
  if (failure) return throwFailure(info.Env(), failure, to);
  return Napi::Value();
}

template <bool isFolder>
Napi::Value remove(const Napi::CallbackInfo& info) {
  int folder = -1;
  std::string name;
  if (!fdArgument(info[0], folder)) return throwType(info.Env(), kNoFd);
  if (!nameArgument(info[1], name)) return throwType(info.Env(), kNoName);
  if (const Failure failure = removeEntry(folder, name.c_str(), isFolder))
    return throwFailure(info.Env(), failure, name);
  return Napi::Value();
}

Napi::Value stat(const Napi::CallbackInfo& info) {
  int folder = -1;
  std::string name;
  int64_t* slots = nullptr;
  if (!fdArgument(info[0], folder)) return throwType(info.Env(), kNoFd);
  if (!nameArgument(info[1], name)) return throwType(info.Env(), kNoName);
  if (!statArgument(info[2], slots)) return throwType(info.Env(), kNoStatSlots);
  struct stat entry = {};
  bool exists = false;
  if (const Failure failure = statEntry(folder, name.c_str(), entry, exists))
    return throwFailure(info.Env(), failure, name);
  if (exists) fillStat(entry, slots);
  return Napi::Boolean::New(info.Env(), exists);
}

Napi::Value copyOwner(const Napi::CallbackInfo& info) {
  int folder = -1;
  int file = -1;
  std::string name;
  if (!fdArgument(info[0], folder) || !fdArgument(info[2], file))
    return throwType(info.Env(), kNoFd);
  if (!nameArgument(info[1], name)) return throwType(info.Env(), kNoName);
  if (const Failure failure = copyOwnership(folder, name.c_str(), file))
    return throwFailure(info.Env(), failure, name);
  return Napi::Value();
}

}  // namespace

void defineFolders(Napi::Env env, Napi::Object exports) {
  exports.Set("openFolder", Napi::Function::New<openBelow>(env, "openFolder"));
  exports.Set("makeFolder", Napi::Function::New<make>(env, "makeFolder"));
  exports.Set("createFile", Napi::Function::New<create>(env, "createFile"));
  exports.Set("nameFile", Napi::Function::New<name>(env, "nameFile"));
  exports.Set("renameFile", Napi::Function::New<rename>(env, "renameFile"));
  exports.Set("removeFile", Napi::Function::New<remove<false>>(env, "removeFile"));
  exports.Set("removeFolder", Napi::Function::New<remove<true>>(env, "removeFolder"));
  exports.Set("statEntry", Napi::Function::New<stat>(env, "statEntry"));
  exports.Set("copyOwnership", Napi::Function::New<copyOwner>(env, "copyOwnership"));
}

}  // namespace vmic
