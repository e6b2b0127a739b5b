#pragma once

namespace vmic {

/// A failed system call: its errno and its name. The default value means success.
struct Failure {
  int code = 0;
  const char* call = "";

  explicit operator bool() const { return code != 0; }
};

/// `Failure::code` of a ring whose control page or packets can't be right; `call` then says which
/// check failed.
constexpr int kRingFault = -1;

}  // namespace vmic
