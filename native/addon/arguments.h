#pragma once

#include <napi.h>
#include <sys/stat.h>

#include <cstdint>
#include <string>

namespace vmic {

/// Bytes of a Uint8Array argument, valid until JavaScript runs again.
struct Bytes {
  const uint8_t* data = nullptr;
  size_t count = 0;
};

inline bool isBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

inline bool bytesArgument(const Napi::Value& value, Bytes& bytes) {
  napi_typedarray_type type;
  void* data = nullptr;
  if (napi_get_typedarray_info(value.Env(), value, &type, &bytes.count, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_uint8_array) {
    return false;
  }
  bytes.data = static_cast<const uint8_t*>(data);
  return true;
}

/// A path or an address: a string without NUL, which would cut it short unseen.
inline bool pathArgument(const Napi::Value& value, std::string& path) {
  if (!value.IsString()) return false;
  path = value.As<Napi::String>().Utf8Value();
  return path.find('\0') == std::string::npos;
}

/// An integer in [min, max], max at most 2^53 - 1.
inline bool integerArgument(const Napi::Value& value, int64_t min, int64_t max, int64_t& integer) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max))) return false;
  integer = static_cast<int64_t>(number);
  return static_cast<double>(integer) == number;
}

inline bool fdArgument(const Napi::Value& value, int& fd) {
  int64_t number = 0;
  if (!integerArgument(value, 0, INT32_MAX, number)) return false;
  fd = static_cast<int>(number);
  return true;
}

/// What stat(2) tells, in the slots that interface.ts names.
constexpr size_t kStatSlots = 8;
constexpr const char* kNoStatSlots = "into must be a BigInt64Array of 8";

inline bool statArgument(const Napi::Value& value, int64_t*& slots) {
  napi_typedarray_type type;
  size_t count = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(value.Env(), value, &type, &count, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_bigint64_array || count < kStatSlots) {
    return false;
  }
  slots = static_cast<int64_t*>(data);
  return true;
}

inline void fillStat(const struct stat& file, int64_t* slots) {
  const auto nanoseconds = [](const timespec& time) {
    return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
  };
  slots[0] = static_cast<int64_t>(file.st_dev);
  slots[1] = static_cast<int64_t>(file.st_ino);
  slots[2] = file.st_size;
  slots[3] = nanoseconds(file.st_mtim);
  slots[4] = nanoseconds(file.st_ctim);
  slots[5] = file.st_mode;
  slots[6] = static_cast<int64_t>(file.st_nlink);
  slots[7] = file.st_uid;
}

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

}  // namespace vmic
