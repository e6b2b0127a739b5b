#include "addon/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "addon/arguments.h"
#include "addon/error.h"
#include "core/file.h"
#include "core/socket.h"

namespace vmic {
namespace {

Napi::Value tryLockFile(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  const std::string mode = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  if (mode != "shared" && mode != "exclusive")
    return throwType(info.Env(), "mode must be 'shared' or 'exclusive'");
  bool held = false;
  const Failure failure =
      tryLock(fd, mode == "shared" ? LockMode::shared : LockMode::exclusive, held);
  if (failure) return throwFailure(info.Env(), failure);
  return Napi::Boolean::New(info.Env(), held);
}

Napi::Value unlockFile(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  if (const Failure failure = unlock(fd)) return throwFailure(info.Env(), failure);
  return Napi::Value();
}

Napi::Value statFile(const Napi::CallbackInfo& info) {
  int64_t* slots = nullptr;
  if (!statArgument(info[1], slots)) return throwType(info.Env(), kNoStatSlots);
  struct stat file = {};
  int fd = -1;
  std::string path;
  if (fdArgument(info[0], fd)) {
    if (::fstat(fd, &file) < 0) return throwFailure(info.Env(), {errno, "fstat"});
  } else if (pathArgument(info[0], path)) {
    if (::stat(path.c_str(), &file) < 0) {
      if (errno == ENOENT || errno == ENOTDIR) return Napi::Boolean::New(info.Env(), false);
      return throwFailure(info.Env(), {errno, "stat"}, path);
    }
  } else {
    return throwType(info.Env(), "file must be a descriptor or a path");
  }
  fillStat(file, slots);
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value writeWholeFile(const Napi::CallbackInfo& info) {
  int fd = -1;
  Bytes bytes;
  int64_t position = 0;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  if (!bytesArgument(info[1], bytes)) return throwType(info.Env(), "bytes must be a Uint8Array");
  if (!integerArgument(info[2], 0, kMaxSafeInteger, position))
    return throwType(info.Env(), "position must be a count");
  size_t written = 0;
  if (const Failure failure = writeWhole(fd, bytes.data, bytes.count, position, written)) {
    return throwFailure(info.Env(), failure);
  }
  return Napi::Number::New(info.Env(), static_cast<double>(written));
}

Napi::Value removeRangeOfFile(const Napi::CallbackInfo& info) {
  int fd = -1;
  int64_t position = 0;
  int64_t length = 0;
  int64_t size = 0;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  if (!integerArgument(info[1], 0, kMaxSafeInteger, position) ||
      !integerArgument(info[2], 0, kMaxSafeInteger, length) ||
      !integerArgument(info[3], 0, kMaxSafeInteger, size)) {
    return throwType(info.Env(), "position, length and size must be counts");
  }
  if (const Failure failure = removeRange(fd, position, length, size))
    return throwFailure(info.Env(), failure);
  return Napi::Value();
}

Napi::Value isMarked(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0) return throwFailure(info.Env(), {errno, "fcntl"});
  return Napi::Boolean::New(info.Env(), (status & O_APPEND) != 0);
}

Napi::Value mark(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0 || ::fcntl(fd, F_SETFL, status | O_APPEND) < 0)
    return throwFailure(info.Env(), {errno, "fcntl"});
  return Napi::Value();
}

Napi::Value notify(const Napi::CallbackInfo& info) {
  std::string address;
  if (!pathArgument(info[0], address))
    return throwType(info.Env(), "socketPath must be a string without NUL");
  if (!info[1].IsString()) return throwType(info.Env(), "message must be a string");
  const std::string message = info[1].As<Napi::String>().Utf8Value();
  bool heard = false;
  const Failure failure = sendNotify(address.c_str(), message.data(), message.size(), heard);
  if (failure) return throwFailure(info.Env(), failure, address);
  return Napi::Boolean::New(info.Env(), heard);
}

Napi::Value sendOneDatagram(const Napi::CallbackInfo& info) {
  std::string path;
  Bytes bytes;
  if (!pathArgument(info[0], path))
    return throwType(info.Env(), "socketPath must be a string without NUL");
  if (!bytesArgument(info[1], bytes)) return throwType(info.Env(), "bytes must be a Uint8Array");
  bool taken = false;
  const Failure failure = sendDatagram(path.c_str(), bytes.data, bytes.count, taken);
  if (failure) return throwFailure(info.Env(), failure, path);
  return Napi::Boolean::New(info.Env(), taken);
}

}  // namespace

void defineFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("tryLock", Napi::Function::New<tryLockFile>(env, "tryLock"));
  exports.Set("unlock", Napi::Function::New<unlockFile>(env, "unlock"));
  exports.Set("stat", Napi::Function::New<statFile>(env, "stat"));
  exports.Set("writeWhole", Napi::Function::New<writeWholeFile>(env, "writeWhole"));
  exports.Set("removeRange", Napi::Function::New<removeRangeOfFile>(env, "removeRange"));
  exports.Set("isMarked", Napi::Function::New<isMarked>(env, "isMarked"));
  exports.Set("mark", Napi::Function::New<mark>(env, "mark"));
  exports.Set("notify", Napi::Function::New<notify>(env, "notify"));
  exports.Set("sendDatagram", Napi::Function::New<sendOneDatagram>(env, "sendDatagram"));
}

}  // namespace vmic
