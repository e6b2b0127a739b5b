#include "guard/text.h"

#include <cstring>

namespace vmic::guard {
namespace {

bool isOctal(char c) { return c >= '0' && c <= '7'; }

}  // namespace

bool takeNumber(const char*& at, uint64_t limit, uint64_t& number) {
  const char* digit = at;
  uint64_t value = 0;
  for (; *digit >= '0' && *digit <= '9'; ++digit) {
    value = value * 10 + static_cast<uint64_t>(*digit - '0');
    if (value > limit) return false;
  }
  if (digit == at) return false;
  at = digit;
  number = value;
  return true;
}

bool take(const char*& at, const char* expected) {
  const size_t length = std::strlen(expected);
  if (std::strncmp(at, expected, length) != 0) return false;
  at += length;
  return true;
}

size_t takeWord(const char*& at) {
  const size_t length = std::strcspn(at, " \n");
  at += length;
  return length;
}

size_t countLines(const char* text) {
  size_t lines = 0;
  for (; *text != '\0'; ++text) lines += *text == '\n' ? 1 : 0;
  return lines;
}

void unescape(const char* from, size_t length, char* into) {
  const char* end = from + length;
  while (from < end) {
    if (*from == '\\' && end - from >= 4 && isOctal(from[1]) && isOctal(from[2]) &&
        isOctal(from[3])) {
      *into++ = static_cast<char>((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
      from += 4;
    } else {
      *into++ = *from++;
    }
  }
  *into = '\0';
}

char* putNumber(char* at, int64_t number) {
  char digits[20];
  size_t count = 0;
  if (number < 0) *at++ = '-';
  uint64_t rest = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  do {
    digits[count++] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
  return at;
}

char* putText(char* at, const char* text) { return ::stpcpy(at, text); }

}  // namespace vmic::guard
