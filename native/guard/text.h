#pragma once

#include <cstddef>
#include <cstdint>

namespace vmic::guard {

/// Reads a decimal number at `at` and moves behind it. False: there is none, or it is larger than
/// `limit`.
bool takeNumber(const char*& at, uint64_t limit, uint64_t& number);

/// Moves behind `expected`. False: something else is there.
bool take(const char*& at, const char* expected);

/// Moves behind the word at `at` (up to a space, a newline or the end) and gives its length.
size_t takeWord(const char*& at);

/// Lines that have their end.
size_t countLines(const char* text);

/// Undoes mountinfo's escapes (\040 for a space) of `length` bytes into `into`, which has room for
/// as many and a NUL.
void unescape(const char* from, size_t length, char* into);

/// Writes a number at `at`, which has room, and a NUL; gives where that is.
char* putNumber(char* at, int64_t number);
char* putText(char* at, const char* text);

}  // namespace vmic::guard
