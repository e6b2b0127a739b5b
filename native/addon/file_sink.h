#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "addon/environment.h"
#include "core/sink.h"

namespace vmic {

class SinkObject : public Napi::ObjectWrap<SinkObject>, public Resource {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value open(const Napi::CallbackInfo& info);
  /// Null when the value is none of ours.
  static std::shared_ptr<FileSink> of(const Napi::Value& value);

  explicit SinkObject(const Napi::CallbackInfo& info);
  void release() override;

 private:
  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value positionBytes(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  // Shared with the channel that feeds it, which may outlive this object.
  std::shared_ptr<FileSink> sink_;
};

/// What a channel does by itself: it puts the parts that messages carry into a file, and answers them.
class Stream {
 public:
  /// False after throwing.
  static bool make(const Napi::Value& sink, const Napi::Value& form, std::unique_ptr<Stream>& made);

  /// Takes a message that carries the next part, and makes the answer of it. False: it is untouched, and for JavaScript to deal with.
  bool take(uint8_t* message, size_t bytes);
  /// Of the answer, which lies where the message was.
  size_t answerBytes() const { return answerBytes_; }
  /// An answer later than this after its message must not go out; 0: no matter how late.
  uint64_t limitMs() const { return limitMs_; }

 private:
  std::shared_ptr<FileSink> sink_;
  PartForm form_;
  std::vector<uint8_t> answer_;
  size_t answerBytes_ = 0;
  uint64_t limitMs_ = 0;
};

/// Waits a moment for the descriptor to become readable: whoever was just answered most often goes on at once, sooner than the event loop would be
/// back here. False: it was not, or has ended; the event loop will tell.
bool soonReadable(int fd);

}  // namespace vmic
