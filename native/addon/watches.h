#pragma once

#include <napi.h>

#include "addon/polled.h"

namespace vmic {

/// inotify on one folder. Watched by the event loop only when a callback was given.
class DirectoryWatch : public Napi::ObjectWrap<DirectoryWatch>, public Polled {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value watch(const Napi::CallbackInfo& info);

  explicit DirectoryWatch(const Napi::CallbackInfo& info);

 private:
  Napi::Value drain(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void onReadable(bool error) override;
};

/// rtnetlink's notifications about links and addresses.
class AddressWatch : public Napi::ObjectWrap<AddressWatch>, public Resource {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value watch(const Napi::CallbackInfo& info);

  explicit AddressWatch(const Napi::CallbackInfo& info);
  void release() override;

 private:
  Napi::Value changed(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  Fd fd_;
};

}  // namespace vmic
