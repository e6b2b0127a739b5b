#include "addon/clocks.h"

#include <cmath>

#include "addon/arguments.h"
#include "addon/error.h"
#include "core/clock.h"

namespace vmic {
namespace {

constexpr size_t kReadingSlots = 3;  // READING_SLOTS of interface.ts
constexpr double kMaxFrequencyPpm = 500;

bool slotsArgument(const Napi::Value& value, int64_t*& slots) {
  napi_typedarray_type type;
  size_t count = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(value.Env(), value, &type, &count, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_bigint64_array || count < kReadingSlots) {
    return false;
  }
  slots = static_cast<int64_t*>(data);
  return true;
}

Napi::Value readBothClocks(const Napi::CallbackInfo& info) {
  int64_t* slots = nullptr;
  if (!slotsArgument(info[0], slots))
    return throwType(info.Env(), "into must be a BigInt64Array of 3");
  ClockReading reading;
  if (const Failure failure = readClocks(reading)) return throwFailure(info.Env(), failure);
  slots[0] = reading.realtimeNs;
  slots[1] = reading.monotonicRawNs;
  slots[2] = reading.uncertaintyNs;
  return Napi::Value();
}

Napi::Value readOneRegister(const Napi::CallbackInfo& info) {
  int fd = -1;
  int64_t position = 0;
  int64_t* slots = nullptr;
  if (!fdArgument(info[0], fd)) return throwType(info.Env(), "fd must be a descriptor");
  if (!integerArgument(info[1], 0, kMaxSafeInteger, position))
    return throwType(info.Env(), "position must be a count");
  if (!slotsArgument(info[2], slots))
    return throwType(info.Env(), "into must be a BigInt64Array of 3");
  RegisterReading reading;
  if (const Failure failure = readRegister(fd, static_cast<uint64_t>(position), reading)) {
    return throwFailure(info.Env(), failure);
  }
  slots[0] = static_cast<int64_t>(reading.value);
  slots[1] = reading.monotonicRawNs;
  slots[2] = reading.uncertaintyNs;
  return Napi::Value();
}

Napi::Value readStateOfClock(const Napi::CallbackInfo& info) {
  ClockState state;
  if (const Failure failure = readClockState(state)) return throwFailure(info.Env(), failure);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("frequencyPpm", Napi::Number::New(info.Env(), state.frequencyPpm));
  result.Set("slewUs", Napi::Number::New(info.Env(), static_cast<double>(state.slewUs)));
  result.Set("synchronized", Napi::Boolean::New(info.Env(), state.synchronized));
  return result;
}

/// A member that may be absent; false when it is there and no whole number in [-limit, limit].
bool integerMember(const Napi::Object& object, const char* name, int64_t limit, bool& present,
                   int64_t& integer) {
  const Napi::Value value = object.Get(name);
  present = !value.IsUndefined();
  return !present || integerArgument(value, -limit, limit, integer);
}

Napi::Value adjust(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsObject()) return throwType(env, "adjustment must be an object");
  const Napi::Object wanted = info[0].As<Napi::Object>();
  ClockAdjustment adjustment;
  const Napi::Value step = wanted.Get("stepNs");
  if (!step.IsUndefined()) {
    bool lossless = false;
    if (step.IsBigInt()) adjustment.stepNs = step.As<Napi::BigInt>().Int64Value(&lossless);
    if (!lossless) return throwType(env, "stepNs must be a bigint of 64 bits");
    adjustment.steps = true;
  }
  const Napi::Value frequency = wanted.Get("frequencyPpm");
  if (!frequency.IsUndefined()) {
    adjustment.frequencyPpm =
        frequency.IsNumber() ? frequency.As<Napi::Number>().DoubleValue() : NAN;
    if (!(std::fabs(adjustment.frequencyPpm) <= kMaxFrequencyPpm)) {
      return throwType(env, "frequencyPpm must be a number from -500 to 500");
    }
    adjustment.tunes = true;
  }
  if (!integerMember(wanted, "slewUs", kMaxSafeInteger, adjustment.slews, adjustment.slewUs)) {
    return throwType(env, "slewUs must be a whole number");
  }
  if (!integerMember(wanted, "errorUs", kMaxSafeInteger, adjustment.vouches, adjustment.errorUs) ||
      adjustment.errorUs < 0) {
    return throwType(env, "errorUs must be a count");
  }
  if (const Failure failure = adjustClock(adjustment)) return throwFailure(env, failure);
  return Napi::Value();
}

}  // namespace

void defineClocks(Napi::Env env, Napi::Object exports) {
  exports.Set("readClocks", Napi::Function::New<readBothClocks>(env, "readClocks"));
  exports.Set("readRegister", Napi::Function::New<readOneRegister>(env, "readRegister"));
  exports.Set("readClockState", Napi::Function::New<readStateOfClock>(env, "readClockState"));
  exports.Set("adjustClock", Napi::Function::New<adjust>(env, "adjustClock"));
}

}  // namespace vmic
