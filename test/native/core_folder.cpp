// Opens a folder in one of two ways, by folders.test.ts.
// Usage: core_folder walk|beneath|rooted FOLDER PATH
// Prints the device and inode of what was opened, or the name of the error.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <string>

#include "core/errno_name.h"
#include "core/folder.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string mode = argv[1];
  const vmic::Fd folder(::open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return 3;
  vmic::Fd opened;
  const vmic::Failure failure =
      mode == "walk" ? vmic::walkToFolder(folder.get(), argv[3], opened)
                     : vmic::openFolder(
                           folder.get(), argv[3],
                           mode == "beneath" ? vmic::Links::beneath : vmic::Links::rooted, opened);
  if (failure) {
    std::puts(vmic::errnoName(failure.code));
    return 0;
  }
  struct stat found = {};
  if (::fstat(opened.get(), &found) < 0) return 4;
  std::printf("%ju:%ju\n", static_cast<uintmax_t>(found.st_dev),
              static_cast<uintmax_t>(found.st_ino));
  return 0;
}
