#pragma once

#include <napi.h>

#include "addon/polled.h"
#include "core/process.h"

namespace vmic {

/// A started program; its events are watched by the event loop.
class Program : public Napi::ObjectWrap<Program>, public Polled {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value start(const Napi::CallbackInfo& info);

  explicit Program(const Napi::CallbackInfo& info);
  ~Program() { shut(); }

 private:
  Napi::Value pid(const Napi::CallbackInfo& info);
  Napi::Value kill(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void onReadable(bool error) override;
  void stopWatching() override;
  void shut() override;

  Napi::Object describe(const ProcessEnd& end);

  Process process_;
  Callback onProgramEnd_;
  bool started_ = false;
};

}  // namespace vmic
