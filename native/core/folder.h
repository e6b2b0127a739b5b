#pragma once

#include <sys/stat.h>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

// Everything here goes by the descriptor of a folder and a name in it, so that nobody who renames
// or replaces what lies above can lead it elsewhere. A name has no '/' in it, and a symbolic link
// of that name is never followed.

/// What may become of symbolic links on the way to a folder.
enum class Links {
  beneath,  // one that leads out of the folder it began in is an error (EXDEV)
  rooted,   // the folder it begins in is what '/' means
};

/// Opens a folder below `folder`; an empty path is `folder` itself. Where the kernel has no openat2
/// (before 5.6) links are an error.
Failure openFolder(int folder, const char* path, Links links, Fd& opened);
/// The way without openat2: one name after the other, through no link (ENOTDIR) and up nowhere
/// (EXDEV).
Failure walkToFolder(int folder, const char* path, Fd& opened);

/// Makes a folder that only its owner can use (mode 0700), and opens it.
Failure makeFolder(int folder, const char* name, Fd& made);

/// A new, empty file of mode 0600 without a name, on the folder's file system: EOPNOTSUPP where
/// that has no such files.
Failure createUnnamed(int folder, Fd& file);
/// The same with a name; EEXIST when there is one.
Failure createNamed(int folder, const char* name, Fd& file);

/// Gives a file without a name one. EEXIST when there is such an entry.
Failure nameFile(int file, int folder, const char* name);
/// Renames a file. What has the new name is replaced at once, or (not `replace`) an error: EEXIST.
Failure renameFile(int fromFolder, const char* from, int toFolder, const char* to, bool replace);
/// Removes a file, or an empty folder.
Failure removeEntry(int folder, const char* name, bool isFolder);

Failure statEntry(int folder, const char* name, struct stat& entry, bool& exists);

/// Gives a file the owner, mode, access list and security label of a regular file (else EINVAL).
Failure copyOwnership(int folder, const char* name, int file);

}  // namespace vmic
