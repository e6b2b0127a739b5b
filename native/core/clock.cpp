#include "core/clock.h"

#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <ctime>

namespace vmic {
namespace {

constexpr int64_t kNsPerSecond = 1000000000;
/// A reading that was interrupted between two clocks is taken again; the best of so many is used.
constexpr int kAttempts = 5;
/// Good enough to stop trying.
constexpr int64_t kTightNs = 2000;

int64_t read(clockid_t clock) {
  timespec time = {};
  ::clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec;
}

/// Takes what `sample` reads between two readings of CLOCK_MONOTONIC_RAW, and when that was.
template <typename Value, typename Sample>
Failure bracket(Value& value, int64_t& monotonicRawNs, int64_t& uncertaintyNs, Sample sample) {
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    Value taken = {};
    const int64_t before = read(CLOCK_MONOTONIC_RAW);
    if (const Failure failure = sample(taken)) return failure;
    const int64_t width = read(CLOCK_MONOTONIC_RAW) - before;
    if (attempt > 0 && width >= uncertaintyNs) continue;
    value = taken;
    monotonicRawNs = before + width / 2;
    uncertaintyNs = width;
    if (width <= kTightNs) break;
  }
  return {};
}

Failure adjtime(timex& change) {
  if (::clock_adjtime(CLOCK_REALTIME, &change) < 0) return {errno, "clock_adjtime"};
  return {};
}

}  // namespace

Failure readClocks(ClockReading& reading) {
  return bracket(reading.realtimeNs, reading.monotonicRawNs, reading.uncertaintyNs,
                 [](int64_t& value) -> Failure {
                   value = read(CLOCK_REALTIME);
                   return {};
                 });
}

Failure readRegister(int fd, uint64_t position, RegisterReading& reading) {
  return bracket(reading.value, reading.monotonicRawNs, reading.uncertaintyNs,
                 [=](uint64_t& value) -> Failure {
                   const ssize_t count =
                       ::pread(fd, &value, sizeof(value), static_cast<off_t>(position));
                   if (count < 0) return {errno, "pread"};
                   if (count != sizeof(value)) return {EIO, "pread"};
                   return {};
                 });
}

Failure readClockState(ClockState& state) {
  timex now = {};
  if (const Failure failure = adjtime(now)) return failure;
  timex slew = {};
  slew.modes = ADJ_OFFSET_SS_READ;
  if (const Failure failure = adjtime(slew)) return failure;
  state.frequencyPpm = static_cast<double>(now.freq) / 65536;
  state.slewUs = slew.offset;
  state.synchronized = (now.status & STA_UNSYNC) == 0;
  return {};
}

Failure adjustClock(const ClockAdjustment& adjustment) {
  if (adjustment.steps) {
    // Added by the kernel to the time it has then, so that no time is lost between reading and
    // setting.
    timex step = {};
    step.modes = ADJ_SETOFFSET | ADJ_NANO;
    int64_t seconds = adjustment.stepNs / kNsPerSecond;
    int64_t nanoseconds = adjustment.stepNs % kNsPerSecond;
    if (nanoseconds < 0) {
      nanoseconds += kNsPerSecond;
      seconds -= 1;
    }
    step.time.tv_sec = seconds;
    step.time.tv_usec = nanoseconds;
    if (const Failure failure = adjtime(step)) return failure;
  }
  if (adjustment.tunes || adjustment.vouches) {
    timex tune = {};
    if (adjustment.vouches) {
      if (const Failure failure = adjtime(tune)) return failure;
      tune.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR;
      tune.status &= ~STA_UNSYNC;
      tune.maxerror = tune.esterror = adjustment.errorUs;
    }
    if (adjustment.tunes) {
      tune.modes |= ADJ_FREQUENCY;
      tune.freq = std::lround(adjustment.frequencyPpm * 65536);
    }
    if (const Failure failure = adjtime(tune)) return failure;
  }
  if (adjustment.slews) {
    timex slew = {};
    slew.modes = ADJ_OFFSET_SINGLESHOT;
    slew.offset = adjustment.slewUs;
    if (const Failure failure = adjtime(slew)) return failure;
  }
  return {};
}

}  // namespace vmic
