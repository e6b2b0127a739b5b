#pragma once

#include <napi.h>

#include <memory>

#include "addon/file_sink.h"
#include "addon/polled.h"

namespace vmic {

class MessageChannel : public Napi::ObjectWrap<MessageChannel>, public Polled {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value openDevice(const Napi::CallbackInfo& info);
  static Napi::Value connectSocket(const Napi::CallbackInfo& info);
  static Napi::Value adopt(const Napi::CallbackInfo& info);

  explicit MessageChannel(const Napi::CallbackInfo& info);

 private:
  static Napi::Value wrap(Napi::Env env, Fd fd, const std::string& path);

  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value stream(const Napi::CallbackInfo& info);
  Napi::Value pause(const Napi::CallbackInfo& info);
  Napi::Value resume(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void onReadable(bool error) override;
  void stopWatching() override;
  /// Takes one message, as read(2) does.
  ssize_t receive(uint8_t* into, size_t capacity);
  /// True when the next part of a file has come, after a short while at most; otherwise errno is
  /// EAGAIN.
  bool awaitNext();
  /// Sends what lies in `bytes` as one message.
  Failure put(const uint8_t* data, size_t bytes);

  bool isSocket_ = false;
  bool paused_ = false;
  ReceiveBuffer buffer_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace vmic
