#pragma once

#include <napi.h>
#include <uv.h>

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

/// What a channel does by itself: it puts the parts that messages carry into a file, and answers
/// them.
class Stream {
 public:
  /// False after throwing.
  static bool make(const Napi::Value& sink, const Napi::Value& form, std::unique_ptr<Stream>& made);

  /// Takes a message that carries the next part, and makes the answer of it. False: it is
  /// untouched, and for JavaScript to deal with.
  bool take(uint8_t* message, size_t bytes);
  /// Of the answer, which lies where the message was.
  size_t answerBytes() const { return answerBytes_; }
  /**
   * Looks for the next message for a few microseconds, which is sooner than sleeping and being
   * woken takes, and as cheap. Pointless with one processor, where the peer can't run meanwhile;
   * and left alone for a while where it did not help.
   */
  template <typename Ready>
  bool spinUntil(Ready ready) {
    if (!mayOverlap_ || (misses_ >= kMaxMisses && ++rests_ % kRests != 0)) return false;
    const uint64_t untilNs = uv_hrtime() + kSpinNs;
    do {
      if (ready()) {
        misses_ = 0;
        return true;
      }
    } while (uv_hrtime() < untilNs);
    ++misses_;
    return false;
  }
  /// An answer later than this after its message must not go out; 0: no matter how late.
  uint64_t limitMs() const { return limitMs_; }

 private:
  static constexpr uint64_t kSpinNs = 25000;
  static constexpr uint32_t kMaxMisses = 4;
  static constexpr uint32_t kRests = 1024;

  std::shared_ptr<FileSink> sink_;
  PartForm form_;
  std::vector<uint8_t> answer_;
  size_t answerBytes_ = 0;
  uint64_t limitMs_ = 0;
  bool mayOverlap_ = false;
  uint32_t misses_ = 0;
  uint32_t rests_ = 0;
};

/// True when the descriptor is readable, or becomes so within `waitMs`. False also when it has
/// ended, which the event loop will tell.
bool isReadable(int fd, int waitMs);
/// What a peer that was just answered takes to go on. Sleeping here costs less than going through
/// the event loop for each message; signals end it, and timers are in no such hurry.
constexpr int kSoonMs = 20;

}  // namespace vmic
