#pragma once

#include <cstddef>
#include <cstdint>

#include "core/failure.h"

namespace vmic {

/// The one owner of a shared, writable mapping.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  /// Maps `bytes` of `fd` from offset 0, which for UIO means map 0.
  Failure map(int fd, size_t bytes);

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace vmic
