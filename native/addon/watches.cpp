#include "addon/watches.h"

#include <cerrno>
#include <string>
#include <vector>

#include "addon/arguments.h"
#include "addon/error.h"
#include "core/watch.h"

namespace vmic {
namespace {

struct Made {
  Fd fd;
  std::string path;
};

}  // namespace

void DirectoryWatch::define(Napi::Env env, Environment& environment) {
  environment.directoryWatch =
      Napi::Persistent(DefineClass(env, "DirectoryWatch",
                                   {InstanceMethod<&DirectoryWatch::drain>("drain"),
                                    InstanceMethod<&DirectoryWatch::close>("close")}));
}

DirectoryWatch::DirectoryWatch(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Polled(Environment::of(info.Env()), info.Env()) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "DirectoryWatch can't be constructed");
    return;
  }
  Made* made = info[0].As<Napi::External<Made>>().Data();
  fd_ = std::move(made->fd);
  path_ = made->path;
  if (!info[1].IsFunction()) return;
  if (!begin(info.This().As<Napi::Object>(), info.Env().Undefined())) return;
  onEvent_.set(info[1].As<Napi::Function>());
}

Napi::Value DirectoryWatch::watch(const Napi::CallbackInfo& info) {
  Made made;
  if (!pathArgument(info[0], made.path))
    return throwType(info.Env(), "path must be a string without NUL");
  if (!info[1].IsUndefined() && !info[1].IsFunction())
    return throwType(info.Env(), "onReadable must be a function");
  if (const Failure failure = openDirectoryWatch(made.path.c_str(), made.fd)) {
    return throwFailure(info.Env(), failure, made.path);
  }
  return Environment::of(info.Env())
      .directoryWatch.New({Napi::External<Made>::New(info.Env(), &made), info[1]});
}

void DirectoryWatch::onReadable(bool) {
  const Napi::HandleScope scope(env_);
  onEvent_.call(env_, Value());
}

Napi::Value DirectoryWatch::drain(const Napi::CallbackInfo& info) {
  if (isClosed()) return throwFailure(info.Env(), {EBADF, "read"}, path_);
  std::vector<DirectoryChange> changes;
  if (const Failure failure = drainDirectoryWatch(fd_.get(), changes))
    return throwFailure(info.Env(), failure, path_);
  if (changes.empty()) return info.Env().Undefined();
  Napi::Array result = Napi::Array::New(info.Env(), changes.size());
  for (size_t at = 0; at < changes.size(); ++at) {
    Napi::Object change = Napi::Object::New(info.Env());
    change.Set("name", changes[at].name);
    change.Set("mask", Napi::Number::New(info.Env(), changes[at].mask));
    result.Set(static_cast<uint32_t>(at), change);
  }
  return result;
}

Napi::Value DirectoryWatch::close(const Napi::CallbackInfo&) {
  shut();
  return Napi::Value();
}

void AddressWatch::define(Napi::Env env, Environment& environment) {
  environment.addressWatch =
      Napi::Persistent(DefineClass(env, "AddressWatch",
                                   {InstanceMethod<&AddressWatch::changed>("changed"),
                                    InstanceMethod<&AddressWatch::close>("close")}));
}

AddressWatch::AddressWatch(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Resource(Environment::of(info.Env())) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "AddressWatch can't be constructed");
    return;
  }
  fd_ = std::move(info[0].As<Napi::External<Made>>().Data()->fd);
}

Napi::Value AddressWatch::watch(const Napi::CallbackInfo& info) {
  Made made;
  if (const Failure failure = openAddressWatch(made.fd)) return throwFailure(info.Env(), failure);
  return Environment::of(info.Env())
      .addressWatch.New({Napi::External<Made>::New(info.Env(), &made)});
}

void AddressWatch::release() {
  fd_.reset();
  released();
}

Napi::Value AddressWatch::changed(const Napi::CallbackInfo& info) {
  if (!fd_) return throwFailure(info.Env(), {EBADF, "recv"});
  bool changed = false;
  if (const Failure failure = drainAddressWatch(fd_.get(), changed))
    return throwFailure(info.Env(), failure);
  return Napi::Boolean::New(info.Env(), changed);
}

Napi::Value AddressWatch::close(const Napi::CallbackInfo&) {
  release();
  return Napi::Value();
}

}  // namespace vmic
