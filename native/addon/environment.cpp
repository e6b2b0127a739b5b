#include "addon/environment.h"

#include <cstdlib>
#include <vector>

namespace vmic {

Resource::Resource(Environment& environment) : environment_(&environment) {
  environment_->resources_.insert(this);
}

Resource::~Resource() { released(); }

void Resource::released() {
  if (environment_ != nullptr) environment_->resources_.erase(this);
  environment_ = nullptr;
}

void Environment::create(Napi::Env env) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) std::abort();
  auto* environment = new Environment(loop);
  napi_set_instance_data(env, environment, nullptr, nullptr);
  // Asynchronous: Node keeps running the loop until the hook is removed, so that close callbacks
  // get their turn. A worker's loop with a handle left open aborts the process.
  napi_add_async_cleanup_hook(env, onCleanup, environment, &environment->hook_);
}

Environment& Environment::of(Napi::Env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::handleClosed() {
  --openHandles_;
  finishIfIdle();
}

void Environment::onCleanup(napi_async_cleanup_hook_handle, void* self) {
  auto* environment = static_cast<Environment*>(self);
  environment->ending_ = true;
  // release() takes each one out of the set.
  const std::vector<Resource*> resources(environment->resources_.begin(),
                                         environment->resources_.end());
  for (Resource* resource : resources) resource->release();
  for (Napi::FunctionReference* constructor :
       {&environment->messageChannel, &environment->ringChannel, &environment->listener,
        &environment->directoryWatch, &environment->addressWatch, &environment->program,
        &environment->fileSink}) {
    constructor->Reset();
  }
  environment->finishIfIdle();
}

void Environment::finishIfIdle() {
  if (!ending_ || openHandles_ > 0) return;
  const napi_async_cleanup_hook_handle hook = hook_;
  // Whatever JavaScript object is finalized after this was released above and does not come back
  // here.
  delete this;
  napi_remove_async_cleanup_hook(hook);
}

}  // namespace vmic
