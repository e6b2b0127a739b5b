#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

/// A file that is written from its start to an end that is known before, and the descriptor of it.
class FileSink {
 public:
  FileSink(Fd file, uint64_t size) : file_(std::move(file)), size_(size) {}

  int fd() const { return file_.get(); }
  bool isOpen() const { return static_cast<bool>(file_); }
  void close() { file_.reset(); }
  /// Where the next part begins.
  uint64_t position() const { return position_; }
  uint64_t left() const { return size_ - position_; }
  /// Writes the next part, no longer than what is left: all of it, or (failing) as if nothing of
  /// it.
  Failure write(const uint8_t* data, size_t bytes);

 private:
  void startWriteback();

  Fd file_;
  uint64_t size_;
  uint64_t position_ = 0;
  /// Up to here the kernel was asked to write to the disk.
  uint64_t flushed_ = 0;
};

/**
 * How messages look that carry the parts of a file: like one that was examined before, in
 * everything but where in the file the part lies, how long it is, and what it holds.
 */
struct PartForm {
  /// The examined message up to its data.
  std::vector<uint8_t> sample;
  /// Of every message.
  size_t messageBytes = 0;
  /// Where {offset u64} and {size u32} lie in it, little-endian.
  size_t offsetAt = 0;
  size_t sizeAt = 0;
  /// What can follow the sample as data.
  size_t roomBytes = 0;

  /// Both fields lie in the sample, apart, and the data in the message.
  bool isSound() const;
  /// The length of the part, when the message carries the one that begins at `position` and is no
  /// longer than `left`; otherwise 0.
  size_t partOf(const uint8_t* message, size_t bytes, uint64_t position, uint64_t left) const;
};

}  // namespace vmic
