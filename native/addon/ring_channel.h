#pragma once

#include <napi.h>

#include <deque>
#include <memory>
#include <vector>

#include "addon/file_sink.h"
#include "addon/polled.h"
#include "core/mapping.h"
#include "core/ring.h"

namespace vmic {

class RingChannel : public Napi::ObjectWrap<RingChannel>, public Polled, private NextTurn::Target {
 public:
  static void define(Napi::Env env, Environment& environment);
  static Napi::Value openUio(const Napi::CallbackInfo& info);
  static Napi::Value adopt(const Napi::CallbackInfo& info);
  static Napi::Value connectSocket(const Napi::CallbackInfo& info);
  static Napi::Value host(const Napi::CallbackInfo& info);
  static Napi::Value memory(const Napi::CallbackInfo& info);

  explicit RingChannel(const Napi::CallbackInfo& info);

 private:
  /// How wake-ups travel, and which ring is whose.
  enum class Kind { uio, guestSocket, hostSocket };
  struct Made {
    Kind kind;
    Fd fd;
    size_t totalBytes = 0;
    Mapping mapping;
    std::string path;
  };
  struct Queued {
    uint16_t type;
    uint16_t flags;
    uint64_t transactionId;
    std::vector<uint8_t> payload;
  };

  static Napi::Value wrap(Napi::Env env, Made& made);

  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value ringDataBytes(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value stream(const Napi::CallbackInfo& info);
  Napi::Value pause(const Napi::CallbackInfo& info);
  Napi::Value resume(const Napi::CallbackInfo& info);
  Napi::Value leave(const Napi::CallbackInfo& info);
  Napi::Value statistics(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  void onReadable(bool error) override;
  void onTurn() override;
  void stopWatching() override;
  void shut() override;

  /// Takes the wake-ups that wait, at most so many. False when the channel has ended.
  bool takeWakes(int most);
  /// Writes one packet, or queues it.
  Failure put(uint16_t type, uint16_t flags, uint64_t transactionId, const uint8_t* payload,
              size_t bytes, bool& queued);
  /// Writes what is queued. False when the channel has ended.
  bool flush();
  void drain();
  Failure signal();
  /// True when packets are to be taken now.
  bool mayRead() const {
    return isWatching() && !paused_ && (queue_.empty() || kind_ == Kind::hostSocket);
  }
  /// Watches the descriptor while there is something to wait for.
  void arrange();

  Kind kind_ = Kind::uio;
  // Shared with the array of ringMemory(), which JavaScript may keep longer than the channel.
  std::shared_ptr<Mapping> mapping_;
  RingReader reader_;
  RingWriter writer_;
  ReceiveBuffer buffer_;
  std::unique_ptr<Stream> stream_;
  uint16_t streamType_ = 0;
  NextTurn turn_;
  bool paused_ = false;
  bool masked_ = false;
  std::deque<Queued> queue_;
  Napi::ObjectReference memory_;

  uint64_t packetsRead_ = 0;
  uint64_t packetsWritten_ = 0;
  uint64_t signalsSent_ = 0;
  uint64_t wakes_ = 0;
  uint64_t queued_ = 0;
};

}  // namespace vmic
