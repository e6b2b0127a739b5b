#include "addon/listener.h"

#include <sys/socket.h>

#include <cerrno>

#include "addon/arguments.h"
#include "addon/error.h"

namespace vmic {
namespace {

struct Made {
  ListeningSocket socket;
  std::string path;
};

}  // namespace

void Listener::define(Napi::Env env, Environment& environment) {
  environment.listener = Napi::Persistent(DefineClass(
      env, "Listener",
      {InstanceMethod<&Listener::start>("start"), InstanceMethod<&Listener::close>("close")}));
}

Listener::Listener(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Polled(Environment::of(info.Env()), info.Env()) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "Listener can't be constructed");
    return;
  }
  Made* made = info[0].As<Napi::External<Made>>().Data();
  socket_ = std::move(made->socket);
  fd_ = std::move(socket_.fd);
  path_ = made->path;
}

Napi::Value Listener::listen(const Napi::CallbackInfo& info) {
  Made made;
  if (!pathArgument(info[0], made.path))
    return throwType(info.Env(), "path must be a string without NUL");
  if (const Failure failure = listenSeqpacket(made.path.c_str(), made.socket)) {
    return throwFailure(info.Env(), failure, made.path);
  }
  return Environment::of(info.Env()).listener.New({Napi::External<Made>::New(info.Env(), &made)});
}

Napi::Value Listener::start(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction() || !info[1].IsFunction())
    return throwType(info.Env(), "start takes two functions");
  if (!begin(info.This().As<Napi::Object>(), info[1])) return Napi::Value();
  onEvent_.set(info[0].As<Napi::Function>());
  return Napi::Value();
}

void Listener::onReadable(bool error) {
  if (error) return end({EIO, "accept"});
  const int fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    return end({errno, "accept"});
  }
  const Napi::HandleScope scope(env_);
  onEvent_.call(env_, Value(), {Napi::Number::New(env_, fd)});
}

void Listener::shut() {
  if (!isClosed()) removeSocketFile(path_.c_str(), socket_);
  Polled::shut();
}

Napi::Value Listener::close(const Napi::CallbackInfo&) {
  shut();
  return Napi::Value();
}

}  // namespace vmic
