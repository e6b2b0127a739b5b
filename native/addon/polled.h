#pragma once

#include <napi.h>
#include <uv.h>

#include <initializer_list>
#include <string>

#include "addon/environment.h"
#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

/// A uv_poll on a descriptor. The handle itself outlives this owner until the loop has closed it.
class Poll {
 public:
  class Target {
   public:
    /// The descriptor is readable, or has ended (`error`: POLLERR).
    virtual void onReadable(bool error) = 0;

   protected:
    ~Target() = default;
  };

  ~Poll() { close(); }
  Failure open(Environment& environment, int fd, Target& target);
  bool isOpen() const { return handle_ != nullptr; }
  void watch();
  void rest();
  /// Must come before the descriptor is closed.
  void close();

 private:
  struct Handle;
  Handle* handle_ = nullptr;
};

/// Runs once on the next turn of the event loop.
class NextTurn {
 public:
  class Target {
   public:
    virtual void onTurn() = 0;

   protected:
    ~Target() = default;
  };

  ~NextTurn() { close(); }
  void open(Environment& environment, Target& target);
  void schedule();
  bool isScheduled() const;
  void cancel();
  void close();

 private:
  struct Handle;
  Handle* handle_ = nullptr;
};

/// A JavaScript function held until reset.
class Callback {
 public:
  void set(Napi::Function function) { function_ = Napi::Persistent(function); }
  void reset() { function_.Reset(); }
  explicit operator bool() const { return !function_.IsEmpty(); }

  /**
   * Calls it as an entry from the event loop: microtasks and process.nextTick run before this
   * returns. An exception becomes an uncaughtException. Afterwards everything may be different, the
   * caller closed included.
   */
  void call(Napi::Env env, napi_value receiver,
            std::initializer_list<napi_value> arguments = {}) const;

 private:
  Napi::FunctionReference function_;
};

/// The user's receive buffer. Its address is asked for anew each time: JavaScript may have detached
/// or shrunk it.
class ReceiveBuffer {
 public:
  void set(Napi::Uint8Array array) {
    array_ = Napi::Persistent(Napi::Value(array).As<Napi::Object>());
  }
  void reset() { array_.Reset(); }
  uint8_t* get(Napi::Env env, size_t& bytes) const;

 private:
  Napi::ObjectReference array_;
};

/**
 * An object that watches one descriptor and ends once. While it watches it holds itself, so that
 * dropping the last JavaScript reference does not silence it.
 */
class Polled : public Resource, protected Poll::Target {
 public:
  Polled(Environment& environment, Napi::Env env)
      : Resource(environment), environment_(environment), env_(env) {}
  void release() override { shut(); }

 protected:
  ~Polled() { shut(); }

  bool isClosed() const { return !fd_; }
  /// Between `begin` and the end.
  bool isWatching() const { return poll_.isOpen(); }
  /// Begins to watch; false after throwing. `onEnd` may be undefined.
  bool begin(Napi::Object self, Napi::Value onEnd);
  /// Stops watching and tells the user. `failure` without a code: the peer is gone.
  void end(const Failure& failure);
  /// Stops watching and lets go of the JavaScript side; the descriptor stays.
  virtual void stopWatching();
  /// Lets go of everything.
  virtual void shut();

  Environment& environment_;
  Napi::Env env_;
  Fd fd_;
  Poll poll_;
  Callback onEvent_;
  std::string path_;

 private:
  Callback onEnd_;
  Napi::ObjectReference self_;
};

/// True for what a read or write says when the other side or the device has ended.
bool meansGone(int code);

}  // namespace vmic
