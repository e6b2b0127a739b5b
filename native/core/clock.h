#pragma once

#include <cstdint>

#include "core/failure.h"

namespace vmic {

/// Two clocks read at one moment, nanoseconds.
struct ClockReading {
  int64_t realtimeNs = 0;
  int64_t monotonicRawNs = 0;
  /// The moment is known to plus or minus half of this.
  int64_t uncertaintyNs = 0;
};
Failure readClocks(ClockReading& reading);

/// A 64-bit register of a device on which the position names the register (/dev/cpu/N/msr), and the
/// moment of its reading.
struct RegisterReading {
  uint64_t value = 0;
  int64_t monotonicRawNs = 0;
  int64_t uncertaintyNs = 0;
};
Failure readRegister(int fd, uint64_t position, RegisterReading& reading);

/// What the kernel does to the clock by itself.
struct ClockState {
  double frequencyPpm = 0;
  /// Of a slew, what is still to come.
  int64_t slewUs = 0;
  bool synchronized = false;
};
Failure readClockState(ClockState& state);

/// Changes CLOCK_REALTIME; takes CAP_SYS_TIME. The members that are not wanted stay away from the
/// kernel.
struct ClockAdjustment {
  bool steps = false;
  int64_t stepNs = 0;
  bool tunes = false;
  double frequencyPpm = 0;
  bool slews = false;
  int64_t slewUs = 0;
  /// Tells the kernel that the clock is synchronized, with this error.
  bool vouches = false;
  int64_t errorUs = 0;
};
Failure adjustClock(const ClockAdjustment& adjustment);

}  // namespace vmic
