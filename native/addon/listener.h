#pragma once

#include <napi.h>

#include "addon/polled.h"
#include "core/socket.h"

namespace vmic {

class Listener : public Napi::ObjectWrap<Listener>, public Polled {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value listen(const Napi::CallbackInfo& info);

  explicit Listener(const Napi::CallbackInfo& info);
  ~Listener() { shut(); }

 private:
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void onReadable(bool error) override;
  void shut() override;

  ListeningSocket socket_;
};

}  // namespace vmic
