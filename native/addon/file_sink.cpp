#include "addon/file_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon/arguments.h"
#include "addon/error.h"

namespace vmic {
namespace {

struct Made {
  Fd file;
  uint64_t size;
};

constexpr napi_type_tag kTag = {0x31d0c7a94e5f4b62, 0x8a6e02f7d41b95c3};
/// No message of anything is longer.
constexpr int64_t kMaxMessageBytes = 1 << 20;
constexpr int64_t kMaxLimitMs = 1 << 30;

}  // namespace

void SinkObject::define(Napi::Env env, Environment& environment) {
  environment.fileSink = Napi::Persistent(DefineClass(
      env, "FileSink",
      {InstanceAccessor<&SinkObject::fd>("fd"),
       InstanceAccessor<&SinkObject::positionBytes>("positionBytes"),
       InstanceMethod<&SinkObject::write>("write"), InstanceMethod<&SinkObject::close>("close")}));
}

SinkObject::SinkObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Resource(Environment::of(info.Env())) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "FileSink can't be constructed");
    return;
  }
  info.This().As<Napi::Object>().TypeTag(&kTag);
  Made& made = *info[0].As<Napi::External<Made>>().Data();
  sink_ = std::make_shared<FileSink>(std::move(made.file), made.size);
}

Napi::Value SinkObject::open(const Napi::CallbackInfo& info) {
  int fd = -1;
  int64_t size = 0;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  if (!integerArgument(info[1], 0, kMaxSafeInteger, size))
    return throwType(info.Env(), "sizeBytes must be a count");
  if (::fcntl(fd, F_GETFD) < 0) return throwFailure(info.Env(), {errno, "fcntl"});
  Made made = {Fd(fd), static_cast<uint64_t>(size)};
  return Environment::of(info.Env()).fileSink.New({Napi::External<Made>::New(info.Env(), &made)});
}

std::shared_ptr<FileSink> SinkObject::of(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) return nullptr;
  return Unwrap(value.As<Napi::Object>())->sink_;
}

void SinkObject::release() {
  if (sink_) sink_->close();
  released();
}

Napi::Value SinkObject::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), sink_->fd());
}

Napi::Value SinkObject::positionBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(sink_->position()));
}

Napi::Value SinkObject::write(const Napi::CallbackInfo& info) {
  Bytes bytes;
  if (!bytesArgument(info[0], bytes)) return throwType(info.Env(), "bytes must be a Uint8Array");
  if (const Failure failure = sink_->write(bytes.data, bytes.count))
    return throwFailure(info.Env(), failure);
  return Napi::Value();
}

Napi::Value SinkObject::close(const Napi::CallbackInfo&) {
  release();
  return Napi::Value();
}

bool Stream::make(const Napi::Value& sink, const Napi::Value& value,
                  std::unique_ptr<Stream>& made) {
  const Napi::Env env = sink.Env();
  auto stream = std::make_unique<Stream>();
  stream->sink_ = SinkObject::of(sink);
  if (!stream->sink_ || !value.IsObject()) {
    throwType(env, "stream takes a FileSink and the form of its messages");
    return false;
  }
  const Napi::Object form = value.As<Napi::Object>();
  Bytes sample;
  Bytes answer;
  int64_t messageBytes = 0;
  int64_t offsetAt = 0;
  int64_t sizeAt = 0;
  int64_t roomBytes = 0;
  int64_t answerBytes = 0;
  int64_t limitMs = 0;
  const auto count = [&](const char* name, int64_t max, int64_t& number) {
    return integerArgument(form.Get(name), 0, max, number);
  };
  const bool complete =
      bytesArgument(form.Get("sample"), sample) && bytesArgument(form.Get("answer"), answer) &&
      count("messageBytes", kMaxMessageBytes, messageBytes) &&
      count("offsetAt", kMaxMessageBytes, offsetAt) && count("sizeAt", kMaxMessageBytes, sizeAt) &&
      count("roomBytes", kMaxMessageBytes, roomBytes) &&
      count("answerBytes", messageBytes, answerBytes) && count("limitMs", kMaxLimitMs, limitMs);
  if (complete) {
    stream->form_ = {std::vector<uint8_t>(sample.data, sample.data + sample.count),
                     static_cast<size_t>(messageBytes), static_cast<size_t>(offsetAt),
                     static_cast<size_t>(sizeAt), static_cast<size_t>(roomBytes)};
    stream->answer_.assign(answer.data, answer.data + answer.count);
    stream->answerBytes_ = static_cast<size_t>(answerBytes);
    stream->limitMs_ = static_cast<uint64_t>(limitMs);
  }
  if (!complete || !stream->form_.isSound() || answer.count > stream->answerBytes_) {
    throwType(env, "the form of the messages contradicts itself");
    return false;
  }
  stream->mayOverlap_ = ::sysconf(_SC_NPROCESSORS_ONLN) > 1;
  made = std::move(stream);
  return true;
}

bool Stream::take(uint8_t* message, size_t bytes) {
  if (!sink_->isOpen()) return false;
  const size_t part = form_.partOf(message, bytes, sink_->position(), sink_->left());
  // A write that fails is tried once more by JavaScript, which then sees why
  if (part == 0 || sink_->write(message + form_.sample.size(), part)) return false;
  std::memcpy(message, answer_.data(), answer_.size());
  return true;
}

bool isReadable(int fd, int waitMs) {
  struct pollfd waiting = {fd, POLLIN, 0};
  return ::poll(&waiting, 1, waitMs) == 1 && waiting.revents == POLLIN;
}

}  // namespace vmic
