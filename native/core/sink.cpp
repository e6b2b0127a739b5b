#include "core/sink.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmic {
namespace {

constexpr size_t kOffsetBytes = 8;
constexpr size_t kSizeBytes = 4;

/// Dirty pages are given to the disk in steps of this size, and waited for when this many bytes lie
/// between: the sync at the end then has little left to do, and its caller, who has to answer in
/// time, does not wait for gigabytes.
constexpr uint64_t kWritebackBytes = uint64_t{8} << 20;
constexpr uint64_t kMaxDirtyBytes = uint64_t{32} << 20;

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));  // x86-64 and arm64: little-endian
  return value;
}

}  // namespace

Failure FileSink::write(const uint8_t* data, size_t bytes) {
  if (!file_) return {EBADF, "pwrite"};
  if (bytes > left()) return {EFBIG, "pwrite"};
  size_t done = 0;
  while (done < bytes) {
    const ssize_t count =
        ::pwrite(file_.get(), data + done, bytes - done, static_cast<off_t>(position_ + done));
    if (count > 0) {
      done += static_cast<size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      return {count == 0 ? ENOSPC : errno, "pwrite"};
    }
  }
  position_ += bytes;
  if (position_ - flushed_ >= kWritebackBytes) startWriteback();
  return {};
}

void FileSink::startWriteback() {
  // Only hints: what they fail with, the sync at the end finds, too
  ::sync_file_range(file_.get(), static_cast<off_t>(flushed_),
                    static_cast<off_t>(position_ - flushed_), SYNC_FILE_RANGE_WRITE);
  if (position_ > kMaxDirtyBytes) {
    const uint64_t settled = position_ - kMaxDirtyBytes;
    const uint64_t from = settled - std::min(settled, position_ - flushed_);
    ::sync_file_range(
        file_.get(), static_cast<off_t>(from), static_cast<off_t>(settled - from),
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }
  flushed_ = position_;
}

bool PartForm::isSound() const {
  const size_t head = sample.size();
  const bool inside = offsetAt + kOffsetBytes <= head && sizeAt + kSizeBytes <= head;
  const bool apart = offsetAt + kOffsetBytes <= sizeAt || sizeAt + kSizeBytes <= offsetAt;
  return inside && apart && head <= messageBytes && roomBytes <= messageBytes - head;
}

size_t PartForm::partOf(const uint8_t* message, size_t bytes, uint64_t position,
                        uint64_t left) const {
  if (bytes != messageBytes || load<uint64_t>(message + offsetAt) != position) return 0;
  const size_t part = load<uint32_t>(message + sizeAt);
  if (part > roomBytes || part > left) return 0;
  const auto same = [&](size_t from, size_t to) {
    return std::memcmp(message + from, sample.data() + from, to - from) == 0;
  };
  const bool offsetFirst = offsetAt < sizeAt;
  const size_t firstEnd = offsetFirst ? offsetAt + kOffsetBytes : sizeAt + kSizeBytes;
  const size_t secondEnd = offsetFirst ? sizeAt + kSizeBytes : offsetAt + kOffsetBytes;
  const bool equal = same(0, std::min(offsetAt, sizeAt)) &&
                     same(firstEnd, std::max(offsetAt, sizeAt)) && same(secondEnd, sample.size());
  return equal ? part : 0;
}

}  // namespace vmic
