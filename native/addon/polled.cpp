#include "addon/polled.h"

#include <cerrno>

#include "addon/error.h"

namespace vmic {

struct Poll::Handle {
  uv_poll_t poll;
  Environment* environment;
  Target* target;
};

Failure Poll::open(Environment& environment, int fd, Target& target) {
  auto* handle = new Handle{{}, &environment, &target};
  const int status = uv_poll_init(environment.loop(), &handle->poll, fd);
  if (status < 0) {
    delete handle;
    return {-status, "epoll_ctl"};
  }
  handle->poll.data = handle;
  environment.handleOpened();
  handle_ = handle;
  return {};
}

void Poll::watch() {
  uv_poll_start(&handle_->poll, UV_READABLE, [](uv_poll_t* poll, int status, int) {
    // Level-triggered, so what is left unread calls again.
    static_cast<Handle*>(poll->data)->target->onReadable(status < 0);
  });
}

void Poll::rest() { uv_poll_stop(&handle_->poll); }

void Poll::close() {
  if (handle_ == nullptr) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->poll), [](uv_handle_t* closed) {
    auto* handle = static_cast<Handle*>(closed->data);
    Environment* environment = handle->environment;
    delete handle;
    environment->handleClosed();
  });
  handle_ = nullptr;
}

struct NextTurn::Handle {
  uv_idle_t idle;
  Environment* environment;
  Target* target;
};

void NextTurn::open(Environment& environment, Target& target) {
  handle_ = new Handle{{}, &environment, &target};
  uv_idle_init(environment.loop(), &handle_->idle);
  handle_->idle.data = handle_;
  environment.handleOpened();
}

void NextTurn::schedule() {
  uv_idle_start(&handle_->idle, [](uv_idle_t* idle) {
    uv_idle_stop(idle);
    static_cast<Handle*>(idle->data)->target->onTurn();
  });
}

bool NextTurn::isScheduled() const {
  return uv_is_active(reinterpret_cast<const uv_handle_t*>(&handle_->idle)) != 0;
}

void NextTurn::cancel() { uv_idle_stop(&handle_->idle); }

void NextTurn::close() {
  if (handle_ == nullptr) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_->idle), [](uv_handle_t* closed) {
    auto* handle = static_cast<Handle*>(closed->data);
    Environment* environment = handle->environment;
    delete handle;
    environment->handleClosed();
  });
  handle_ = nullptr;
}

void Callback::call(Napi::Env env, napi_value receiver,
                    std::initializer_list<napi_value> arguments) const {
  napi_value function = nullptr;
  if (napi_get_reference_value(env, function_, &function) != napi_ok || function == nullptr) return;
  // No async context: these calls continue nothing that JavaScript began, and entering one costs
  // time per message.
  const napi_status status = napi_make_callback(env, nullptr, receiver, function, arguments.size(),
                                                arguments.begin(), nullptr);
  if (status != napi_pending_exception) return;
  napi_value exception = nullptr;
  // Fails in a worker that is being terminated, where there is nothing to report.
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

uint8_t* ReceiveBuffer::get(Napi::Env env, size_t& bytes) const {
  bytes = 0;
  void* data = nullptr;
  napi_value array = nullptr;
  if (napi_get_reference_value(env, array_, &array) != napi_ok) return nullptr;
  if (napi_get_typedarray_info(env, array, nullptr, &bytes, &data, nullptr, nullptr) != napi_ok)
    bytes = 0;
  if (data == nullptr) bytes = 0;
  return static_cast<uint8_t*>(data);
}

bool Polled::begin(Napi::Object self, Napi::Value onEnd) {
  if (isClosed()) {
    throwFailure(env_, {EBADF, "start"}, path_);
    return false;
  }
  if (poll_.isOpen()) {
    throwFailure(env_, {EALREADY, "start"}, path_);
    return false;
  }
  if (const Failure failure = poll_.open(environment_, fd_.get(), *this)) {
    throwFailure(env_, failure, path_);
    return false;
  }
  if (onEnd.IsFunction()) onEnd_.set(onEnd.As<Napi::Function>());
  self_ = Napi::Persistent(self);
  poll_.watch();
  return true;
}

void Polled::stopWatching() {
  poll_.close();
  onEvent_.reset();
  onEnd_.reset();
  self_.Reset();
}

void Polled::shut() {
  stopWatching();
  fd_.reset();
  released();
}

void Polled::end(const Failure& failure) {
  const Napi::HandleScope scope(env_);
  // Keeps both alive past stopWatching.
  const Napi::Object self = self_.Value();
  const Callback onEnd = std::move(onEnd_);
  stopWatching();
  Napi::Object reason = Napi::Object::New(env_);
  reason.Set("reason", failure ? "error" : "gone");
  if (failure) reason.Set("error", nativeError(env_, failure, path_));
  if (onEnd) onEnd.call(env_, self, {reason});
}

bool meansGone(int code) {
  switch (code) {
    case EBADF:       // hv_utils has destroyed the device
    case EIO:         // UIO after a rescind
    case ENODEV:      // VMBus after a rescind
    case ECONNRESET:  // a socket's peer closed with something unread
    case EPIPE:
      return true;
    default:
      return false;
  }
}

}  // namespace vmic
