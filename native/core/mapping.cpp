#include "core/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace vmic {

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

Failure Mapping::map(int fd, size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return {errno, "mmap"};
  if (data_ != nullptr) ::munmap(data_, bytes_);
  data_ = static_cast<uint8_t*>(data);
  bytes_ = bytes;
  return {};
}

}  // namespace vmic
