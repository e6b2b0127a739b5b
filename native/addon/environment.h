#pragma once

#include <napi.h>
#include <uv.h>

#include <unordered_set>

namespace vmic {

class Environment;

/// What must be let go of before its environment ends: descriptors, mappings, handles of the event
/// loop.
class Resource {
 public:
  explicit Resource(Environment& environment);
  Resource(const Resource&) = delete;
  Resource& operator=(const Resource&) = delete;
  virtual ~Resource();

  /// Lets go of everything. Called at most once by the environment, when it ends; calls no
  /// JavaScript.
  virtual void release() = 0;

 protected:
  /// Nothing is held any more, so the environment's end does not concern this one.
  void released();

 private:
  Environment* environment_;
};

/**
 * What belongs to one environment: the main thread or a worker. It ends when Node runs the cleanup
 * hook and every closed handle of the event loop has had its close callback; only then does Node
 * tear the loop down.
 */
class Environment {
 public:
  static void create(Napi::Env env);
  static Environment& of(Napi::Env env);

  uv_loop_t* loop() const { return loop_; }

  /// Handles of the loop live until their close callback has run.
  void handleOpened() { ++openHandles_; }
  void handleClosed();

  Napi::FunctionReference messageChannel;
  Napi::FunctionReference ringChannel;
  Napi::FunctionReference listener;
  Napi::FunctionReference directoryWatch;
  Napi::FunctionReference addressWatch;
  Napi::FunctionReference program;
  Napi::FunctionReference fileSink;

 private:
  friend class Resource;
  explicit Environment(uv_loop_t* loop) : loop_(loop) {}
  static void onCleanup(napi_async_cleanup_hook_handle hook, void* self);
  void finishIfIdle();

  uv_loop_t* loop_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::unordered_set<Resource*> resources_;
  size_t openHandles_ = 0;
  bool ending_ = false;
};

}  // namespace vmic
