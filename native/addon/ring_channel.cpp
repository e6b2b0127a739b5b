#include "addon/ring_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "addon/arguments.h"
#include "addon/error.h"
#include "core/socket.h"

namespace vmic {
namespace {

constexpr int kBatchPackets = 64;
constexpr size_t kMaxQueued = 64;

/// Marks our objects, so that ringMemory() can tell them from others.
constexpr napi_type_tag kTag = {0x6a1f5d3c8e7b4420, 0x9c02d9a1b35e7f16};

}  // namespace

void RingChannel::define(Napi::Env env, Environment& environment) {
  environment.ringChannel = Napi::Persistent(DefineClass(
      env, "RingChannel",
      {InstanceAccessor<&RingChannel::fd>("fd"),
       InstanceAccessor<&RingChannel::ringDataBytes>("ringDataBytes"),
       InstanceMethod<&RingChannel::start>("start"), InstanceMethod<&RingChannel::write>("write"),
       InstanceMethod<&RingChannel::stream>("stream"), InstanceMethod<&RingChannel::pause>("pause"),
       InstanceMethod<&RingChannel::resume>("resume"), InstanceMethod<&RingChannel::leave>("leave"),
       InstanceMethod<&RingChannel::statistics>("statistics"),
       InstanceMethod<&RingChannel::close>("close")}));
}

RingChannel::RingChannel(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Polled(Environment::of(info.Env()), info.Env()) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "RingChannel can't be constructed");
    return;
  }
  Made& made = *info[0].As<Napi::External<Made>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTag);
  kind_ = made.kind;
  path_ = made.path;
  // The first half carries what the guest sends.
  const size_t ringBytes = made.totalBytes / 2;
  uint8_t* first = made.mapping.data();
  uint8_t* second = first + ringBytes;
  const bool isHost = kind_ == Kind::hostSocket;
  const char* fault = writer_.attach(isHost ? second : first, ringBytes);
  if (fault == nullptr) fault = reader_.attach(isHost ? first : second, ringBytes);
  if (fault != nullptr) {
    throwFailure(info.Env(), {kRingFault, fault}, path_);
    return;
  }
  mapping_ = std::make_shared<Mapping>(std::move(made.mapping));
  fd_ = std::move(made.fd);
}

Napi::Value RingChannel::memory(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject() || !info[0].As<Napi::Object>().CheckTypeTag(&kTag)) {
    return throwType(info.Env(), "channel must be a RingChannel");
  }
  RingChannel& channel = *Unwrap(info[0].As<Napi::Object>());
  if (channel.kind_ != Kind::hostSocket)
    return throwType(info.Env(), "only a host's channel shows its memory");
  if (!channel.mapping_) return throwFailure(info.Env(), {EBADF, "mmap"});
  // One array per channel: V8 keeps track of external memory by its address.
  if (channel.memory_.IsEmpty()) {
    auto* held = new std::shared_ptr<Mapping>(channel.mapping_);
    const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
        info.Env(), (*held)->data(), (*held)->bytes(),
        [](Napi::Env, void*, std::shared_ptr<Mapping>* last) { delete last; }, held);
    const Napi::Uint8Array array = Napi::Uint8Array::New(info.Env(), (*held)->bytes(), buffer, 0);
    channel.memory_ = Napi::Persistent(Napi::Value(array).As<Napi::Object>());
  }
  return channel.memory_.Value();
}

Napi::Value RingChannel::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), fd_.get());
}

Napi::Value RingChannel::ringDataBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), reader_.dataBytes());
}

Napi::Value RingChannel::start(const Napi::CallbackInfo& info) {
  if (!isBytes(info[0]) || !info[1].IsFunction() || !info[2].IsFunction()) {
    return throwType(info.Env(), "start takes a Uint8Array and two functions");
  }
  if (!begin(info.This().As<Napi::Object>(), info[2])) return Napi::Value();
  buffer_.set(info[0].As<Napi::Uint8Array>());
  onEvent_.set(info[1].As<Napi::Function>());
  turn_.open(environment_, *this);
  // What came before anybody listened raises no event any more.
  turn_.schedule();
  return Napi::Value();
}

void RingChannel::stopWatching() {
  Polled::stopWatching();
  turn_.close();
  buffer_.reset();
  stream_.reset();
}

void RingChannel::shut() {
  Polled::shut();
  queue_.clear();
  memory_.Reset();
  mapping_.reset();
}

bool RingChannel::takeWakes(int most) {
  // UIO: the count of events so far. A socket: one datagram for each wake-up, which all mean the
  // same. Bounded, so that a peer which floods us does not keep us here; what is left wakes us
  // again.
  for (int taken = 0; taken < most;) {
    uint32_t count = 0;
    const ssize_t got = ::read(fd_.get(), &count, sizeof(count));
    if (got > 0) {
      ++wakes_;
      ++taken;
      if (kind_ == Kind::uio) return true;
      continue;
    }
    if (got < 0 && errno == EAGAIN) return true;
    if (got < 0 && errno == EINTR) continue;
    end(got == 0 || meansGone(errno) ? Failure{} : Failure{errno, "read"});
    return false;
  }
  return true;
}

Failure RingChannel::signal() {
  const uint32_t one = 1;
  ssize_t sent;
  do {
    sent = kind_ == Kind::uio ? ::write(fd_.get(), &one, sizeof(one))
                              : ::send(fd_.get(), &one, sizeof(one), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  // uio_hv_generic clears our interrupt mask when it signals the host: as long as we are at it
  // anyway, mask again.
  if (kind_ == Kind::uio && masked_) reader_.mask();
  // EAGAIN: the socket is full of wake-ups that wait, which is as good.
  if (sent < 0 && errno != EAGAIN) return {errno, kind_ == Kind::uio ? "write" : "send"};
  ++signalsSent_;
  return {};
}

bool RingChannel::flush() {
  while (!queue_.empty()) {
    const Queued& next = queue_.front();
    bool signalPeer = false;
    const WriteResult result = writer_.write(next.type, next.flags, next.transactionId,
                                             next.payload.data(), next.payload.size(), signalPeer);
    if (result == WriteResult::full) {
      if (writer_.awaitSpace(next.payload.size())) continue;
      return true;
    }
    if (result != WriteResult::written) {
      end({kRingFault, writer_.fault()});
      return false;
    }
    ++packetsWritten_;
    queue_.pop_front();
    if (queue_.empty()) writer_.stopWaiting();
    if (signalPeer) {
      if (const Failure failure = signal()) {
        end(meansGone(failure.code) ? Failure{} : failure);
        return false;
      }
    }
  }
  return true;
}

void RingChannel::onReadable(bool error) {
  if (error) return end({});
  const Napi::HandleScope scope(env_);
  [[maybe_unused]] const Napi::Value self = Value();  // alive whatever the callbacks do
  if (!takeWakes(kBatchPackets)) return;
  // A full batch left its rest to the next turn; taking it now would keep others waiting.
  if (turn_.isScheduled() || !flush()) return;
  drain();
}

void RingChannel::onTurn() {
  const Napi::HandleScope scope(env_);
  [[maybe_unused]] const Napi::Value self = Value();
  if (!flush()) return;
  drain();
}

void RingChannel::drain() {
  turn_.cancel();
  bool streamed = false;
  for (int taken = 0; mayRead(); ++taken) {
    if (taken == kBatchPackets) {
      // Still masked, so nothing would wake us: come back by ourselves.
      turn_.schedule();
      return;
    }
    if (!masked_) {
      masked_ = true;
      reader_.mask();
    }
    size_t capacity = 0;
    uint8_t* into = buffer_.get(env_, capacity);
    Packet packet;
    switch (reader_.read(into, capacity, packet)) {
      case ReadResult::corrupt:
        return end({kRingFault, reader_.fault()});
      case ReadResult::empty:
        if (streamed && stream_->spinUntil([this] { return reader_.look(); })) break;
        masked_ = false;
        if (reader_.unmaskAndLook()) break;
        if (!streamed || !isReadable(fd_.get(), kSoonMs)) return;
        // One is enough: what else waits there wakes us again
        if (!takeWakes(1)) return;
        break;
      case ReadResult::packet:
        ++packetsRead_;
        if (packet.signalPeer) {
          if (const Failure failure = signal())
            return end(meansGone(failure.code) ? Failure{} : failure);
        }
        streamed =
            stream_ && packet.type == streamType_ && stream_->take(into, packet.payloadBytes);
        if (streamed) {
          bool queued = false;
          const Failure failure =
              put(packet.type, 0, packet.transactionId, into, stream_->answerBytes(), queued);
          if (failure) return end(meansGone(failure.code) ? Failure{} : failure);
          break;
        }
        // A scope of its own, so that a batch does not pile up handles.
        const Napi::HandleScope scope(env_);
        onEvent_.call(env_, Value(),
                      {Napi::Number::New(env_, packet.type), Napi::Number::New(env_, packet.flags),
                       Napi::BigInt::New(env_, packet.transactionId),
                       Napi::Number::New(env_, packet.payloadBytes)});
        break;
    }
  }
  if (isWatching()) arrange();
}

void RingChannel::arrange() {
  const bool reading = mayRead();
  if (!paused_ || !queue_.empty()) {
    poll_.watch();
  } else {
    poll_.rest();
  }
  if (reading) {
    turn_.schedule();
  } else if (!queue_.empty()) {
    // Waiting for space: the peer's signal must come through.
    masked_ = false;
    reader_.unmaskAndLook();
  } else {
    masked_ = true;
    reader_.mask();
  }
}

Napi::Value RingChannel::write(const Napi::CallbackInfo& info) {
  int64_t type = 0;
  int64_t flags = 0;
  Bytes payload;
  if (!integerArgument(info[0], 0, UINT16_MAX, type) ||
      !integerArgument(info[1], 0, UINT16_MAX, flags)) {
    return throwType(info.Env(), "packetType and flags must be 16-bit numbers");
  }
  bool lossless = false;
  if (!info[2].IsBigInt()) return throwType(info.Env(), "transactionId must be a bigint");
  const uint64_t transactionId = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) return throwType(info.Env(), "transactionId must have 64 bits");
  if (!bytesArgument(info[3], payload))
    return throwType(info.Env(), "payload must be a Uint8Array");
  if (isClosed()) return throwFailure(info.Env(), {EBADF, "write"}, path_);

  bool queued = false;
  const Failure failure = put(static_cast<uint16_t>(type), static_cast<uint16_t>(flags),
                              transactionId, payload.data, payload.count, queued);
  if (failure) return throwFailure(info.Env(), failure, path_);
  return Napi::Boolean::New(info.Env(), !queued);
}

Failure RingChannel::put(uint16_t type, uint16_t flags, uint64_t transactionId,
                         const uint8_t* payload, size_t bytes, bool& queued) {
  queued = false;
  if (queue_.empty()) {
    bool signalPeer = false;
    WriteResult result = writer_.write(type, flags, transactionId, payload, bytes, signalPeer);
    if (result == WriteResult::full && writer_.awaitSpace(bytes)) {
      writer_.stopWaiting();
      result = writer_.write(type, flags, transactionId, payload, bytes, signalPeer);
    }
    switch (result) {
      case WriteResult::written:
        ++packetsWritten_;
        return signalPeer ? signal() : Failure{};
      case WriteResult::tooLong:
        return {kRingFault, "packet can never fit the ring"};
      case WriteResult::corrupt:
        return {kRingFault, writer_.fault()};
      case WriteResult::full:
        break;
    }
  } else if (!writer_.canEverFit(bytes)) {
    return {kRingFault, "packet can never fit the ring"};
  }
  if (queue_.size() >= kMaxQueued) return {ENOBUFS, "write"};
  queue_.push_back(
      {type, flags, transactionId,
       bytes > 0 ? std::vector<uint8_t>(payload, payload + bytes) : std::vector<uint8_t>()});
  queued = true;
  ++queued_;
  // The rest is arranged on the next turn: this may be a call from inside drain().
  if (isWatching()) turn_.schedule();
  return {};
}

Napi::Value RingChannel::stream(const Napi::CallbackInfo& info) {
  int64_t type = 0;
  if (!integerArgument(info[0], 0, UINT16_MAX, type))
    return throwType(info.Env(), "packetType must be a 16-bit number");
  if (Stream::make(info[1], info[2], stream_)) streamType_ = static_cast<uint16_t>(type);
  return Napi::Value();
}

Napi::Value RingChannel::pause(const Napi::CallbackInfo&) {
  paused_ = true;
  if (isWatching()) arrange();
  return Napi::Value();
}

Napi::Value RingChannel::resume(const Napi::CallbackInfo&) {
  paused_ = false;
  if (isWatching()) arrange();
  return Napi::Value();
}

Napi::Value RingChannel::leave(const Napi::CallbackInfo& info) {
  // A packet that the last look finds is announced by an event still: the mask was off when it
  // came, or a turn is due.
  const bool waits = paused_ || masked_ || !queue_.empty() ||
                     (isWatching() && (turn_.isScheduled() || reader_.unmaskAndLook()));
  if (waits || !isWatching()) return Napi::Boolean::New(info.Env(), false);
  stopWatching();
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value RingChannel::statistics(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, uint64_t count) {
    result.Set(name, Napi::Number::New(info.Env(), static_cast<double>(count)));
  };
  set("packetsRead", packetsRead_);
  set("packetsWritten", packetsWritten_);
  set("signalsSent", signalsSent_);
  set("wakes", wakes_);
  set("queued", queued_);
  return result;
}

Napi::Value RingChannel::close(const Napi::CallbackInfo&) {
  shut();
  return Napi::Value();
}

}  // namespace vmic
