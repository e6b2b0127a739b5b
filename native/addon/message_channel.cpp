#include "addon/message_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>

#include "addon/arguments.h"
#include "addon/error.h"
#include "core/socket.h"

namespace vmic {
namespace {

/// Parts of a file taken before other work of the event loop gets a turn.
constexpr int kBatchParts = 64;

/// Milliseconds that are right to a few, and cost nearly nothing.
uint64_t coarseMs() {
  struct timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

struct Made {
  Fd fd;
  std::string path;
};

}  // namespace

void MessageChannel::define(Napi::Env env, Environment& environment) {
  environment.messageChannel = Napi::Persistent(DefineClass(
      env, "MessageChannel",
      {InstanceAccessor<&MessageChannel::fd>("fd"), InstanceMethod<&MessageChannel::start>("start"),
       InstanceMethod<&MessageChannel::write>("write"),
       InstanceMethod<&MessageChannel::stream>("stream"),
       InstanceMethod<&MessageChannel::pause>("pause"),
       InstanceMethod<&MessageChannel::resume>("resume"),
       InstanceMethod<&MessageChannel::close>("close")}));
}

MessageChannel::MessageChannel(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Polled(Environment::of(info.Env()), info.Env()) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "MessageChannel can't be constructed");
    return;
  }
  Made* made = info[0].As<Napi::External<Made>>().Data();
  fd_ = std::move(made->fd);
  path_ = made->path;
  struct stat file = {};
  isSocket_ = ::fstat(fd_.get(), &file) == 0 && S_ISSOCK(file.st_mode);
}

Napi::Value MessageChannel::wrap(Napi::Env env, Fd fd, const std::string& path) {
  Made made = {std::move(fd), path};
  return Environment::of(env).messageChannel.New({Napi::External<Made>::New(env, &made)});
}

Napi::Value MessageChannel::openDevice(const Napi::CallbackInfo& info) {
  std::string path;
  if (!pathArgument(info[0], path))
    return throwType(info.Env(), "path must be a string without NUL");
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return throwFailure(info.Env(), {errno, "open"}, path);
  return wrap(info.Env(), std::move(fd), path);
}

Napi::Value MessageChannel::connectSocket(const Napi::CallbackInfo& info) {
  std::string path;
  if (!pathArgument(info[0], path))
    return throwType(info.Env(), "path must be a string without NUL");
  Fd fd;
  if (const Failure failure = connectSeqpacket(path.c_str(), fd))
    return throwFailure(info.Env(), failure, path);
  return wrap(info.Env(), std::move(fd), path);
}

Napi::Value MessageChannel::adopt(const Napi::CallbackInfo& info) {
  int fd = -1;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0) return throwFailure(info.Env(), {errno, "fcntl"});
  Fd owned(fd);
  // An inherited descriptor has neither.
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0) {
    return throwFailure(info.Env(), {errno, "fcntl"});
  }
  return wrap(info.Env(), std::move(owned), {});
}

Napi::Value MessageChannel::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), fd_.get());
}

Napi::Value MessageChannel::start(const Napi::CallbackInfo& info) {
  if (!isBytes(info[0]) || !info[1].IsFunction() || !info[2].IsFunction()) {
    return throwType(info.Env(), "start takes a Uint8Array and two functions");
  }
  if (!begin(info.This().As<Napi::Object>(), info[2])) return Napi::Value();
  buffer_.set(info[0].As<Napi::Uint8Array>());
  onEvent_.set(info[1].As<Napi::Function>());
  if (paused_) poll_.rest();
  return Napi::Value();
}

void MessageChannel::stopWatching() {
  Polled::stopWatching();
  buffer_.reset();
  stream_.reset();
}

void MessageChannel::onReadable(bool error) {
  // hv_utils: POLLERR and POLLHUP when it has destroyed the device. A socket: the peer closed with
  // something unread.
  if (error) return end({});
  const Napi::HandleScope scope(env_);
  size_t capacity = 0;
  uint8_t* into = buffer_.get(env_, capacity);
  for (int taken = 0; taken < kBatchParts; ++taken) {
    // The first message the event loop has promised. The next one often is there as soon as its
    // predecessor is answered.
    const bool isNext = taken > 0;
    if (isNext && !isSocket_ && !isReadable(fd_.get(), 0) && !awaitNext()) return;
    ssize_t count = receive(into, capacity);
    if (count < 0 && errno == EAGAIN && isNext && awaitNext()) count = receive(into, capacity);
    if (count < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      return end(meansGone(errno) ? Failure{} : Failure{errno, isSocket_ ? "recv" : "read"});
    }
    if (count == 0) return end({});
    if (static_cast<size_t>(count) > capacity) return end({EMSGSIZE, "recv"});
    const uint64_t receivedMs = stream_ ? coarseMs() : 0;
    if (!stream_ || !stream_->take(into, static_cast<size_t>(count))) {
      return onEvent_.call(env_, Value(), {Napi::Number::New(env_, static_cast<double>(count))});
    }
    const bool tooLate = stream_->limitMs() > 0 && coarseMs() - receivedMs > stream_->limitMs();
    const Failure failure =
        tooLate ? Failure{ETIMEDOUT, "write"} : put(into, stream_->answerBytes());
    if (failure) return end(meansGone(failure.code) ? Failure{} : failure);
  }
}

ssize_t MessageChannel::receive(uint8_t* into, size_t capacity) {
  // MSG_TRUNC: the real length of a datagram that was cut. A device is read only when poll has
  // promised a message, as hv_utils ignores O_NONBLOCK and would sleep.
  return isSocket_ ? ::recv(fd_.get(), into, capacity, MSG_TRUNC | MSG_DONTWAIT)
                   : ::read(fd_.get(), into, capacity);
}

bool MessageChannel::awaitNext() {
  const int fd = fd_.get();
  if (stream_->spinUntil([fd] { return isReadable(fd, 0); }) || isReadable(fd, kSoonMs))
    return true;
  errno = EAGAIN;
  return false;
}

Failure MessageChannel::put(const uint8_t* data, size_t bytes) {
  const char* call = isSocket_ ? "send" : "write";
  if (isClosed()) return {EBADF, call};
  ssize_t count;
  do {
    count = isSocket_ ? ::send(fd_.get(), data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT)
                      : ::write(fd_.get(), data, bytes);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return {errno, call};
  return static_cast<size_t>(count) == bytes ? Failure{} : Failure{EIO, call};
}

Napi::Value MessageChannel::write(const Napi::CallbackInfo& info) {
  Bytes bytes;
  if (!bytesArgument(info[0], bytes)) return throwType(info.Env(), "message must be a Uint8Array");
  if (const Failure failure = put(bytes.data, bytes.count))
    return throwFailure(info.Env(), failure, path_);
  return Napi::Value();
}

Napi::Value MessageChannel::stream(const Napi::CallbackInfo& info) {
  Stream::make(info[0], info[1], stream_);
  return Napi::Value();
}

Napi::Value MessageChannel::pause(const Napi::CallbackInfo&) {
  paused_ = true;
  if (poll_.isOpen()) poll_.rest();
  return Napi::Value();
}

Napi::Value MessageChannel::resume(const Napi::CallbackInfo&) {
  paused_ = false;
  if (poll_.isOpen()) poll_.watch();
  return Napi::Value();
}

Napi::Value MessageChannel::close(const Napi::CallbackInfo&) {
  shut();
  return Napi::Value();
}

}  // namespace vmic
