#include <napi.h>

#include "addon/clocks.h"
#include "addon/environment.h"
#include "addon/file_sink.h"
#include "addon/files.h"
#include "addon/folders.h"
#include "addon/listener.h"
#include "addon/message_channel.h"
#include "addon/programs.h"
#include "addon/ring_channel.h"
#include "addon/watches.h"

namespace vmic {

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  Environment::create(env);
  Environment& environment = Environment::of(env);
  MessageChannel::define(env, environment);
  RingChannel::define(env, environment);
  Listener::define(env, environment);
  DirectoryWatch::define(env, environment);
  AddressWatch::define(env, environment);
  Program::define(env, environment);
  SinkObject::define(env, environment);

  exports.Set("openMessageDevice",
              Napi::Function::New<MessageChannel::openDevice>(env, "openMessageDevice"));
  exports.Set("connectMessageSocket",
              Napi::Function::New<MessageChannel::connectSocket>(env, "connectMessageSocket"));
  exports.Set("adoptMessageChannel",
              Napi::Function::New<MessageChannel::adopt>(env, "adoptMessageChannel"));
  exports.Set("openUio", Napi::Function::New<RingChannel::openUio>(env, "openUio"));
  exports.Set("adoptRingChannel", Napi::Function::New<RingChannel::adopt>(env, "adoptRingChannel"));
  exports.Set("connectRingSocket",
              Napi::Function::New<RingChannel::connectSocket>(env, "connectRingSocket"));
  exports.Set("hostRing", Napi::Function::New<RingChannel::host>(env, "hostRing"));
  exports.Set("ringMemory", Napi::Function::New<RingChannel::memory>(env, "ringMemory"));
  exports.Set("listen", Napi::Function::New<Listener::listen>(env, "listen"));
  exports.Set("watchDirectory", Napi::Function::New<DirectoryWatch::watch>(env, "watchDirectory"));
  exports.Set("watchAddresses", Napi::Function::New<AddressWatch::watch>(env, "watchAddresses"));
  exports.Set("startProgram", Napi::Function::New<Program::start>(env, "startProgram"));
  exports.Set("openSink", Napi::Function::New<SinkObject::open>(env, "openSink"));
  defineFiles(env, exports);
  defineFolders(env, exports);
  defineClocks(env, exports);
  return exports;
}

}  // namespace vmic

static Napi::Object initAddon(Napi::Env env, Napi::Object exports) {
  return vmic::init(env, exports);
}
NODE_API_MODULE(vmic, initAddon)
