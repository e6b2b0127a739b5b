/*
 * LD_PRELOAD shim: lets an unmodified KVP or VSS daemon run without Hyper-V.
 *
 * VMIC_SHIM_DEVICE  path of a seqpacket socket; opening /dev/vmbus/hv_kvp or hv_vss connects to it
 * instead VMIC_SHIM_POOLS   folder that stands in for /var/lib/hyperv
 *
 * A seqpacket socket keeps what matters of the char device: one write is one message, one read is
 * one message, poll works. It can't refuse a reply nobody waits for (EINVAL); the host's end closes
 * the socket instead, and the daemon reopens as it does after that error.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define POOLS "/var/lib/hyperv"
#define EXPORT __attribute__((visibility("default")))

#define NEXT(result, name, ...)       \
  static result (*next)(__VA_ARGS__); \
  if (!next) *(void**)&next = dlsym(RTLD_NEXT, name)

static int is_device(const char* path) {
  return getenv("VMIC_SHIM_DEVICE") && path &&
         (!strcmp(path, "/dev/vmbus/hv_kvp") || !strcmp(path, "/dev/vmbus/hv_vss"));
}

/* The path to use instead: `path` itself, or the one in the stand-in folder, built in `into`. */
static const char* moved(const char* path, char into[PATH_MAX]) {
  const char* folder = getenv("VMIC_SHIM_POOLS");
  size_t length = strlen(POOLS);
  if (!folder || !path || strncmp(path, POOLS, length) || (path[length] && path[length] != '/'))
    return path;
  if (snprintf(into, PATH_MAX, "%s%s", folder, path + length) >= PATH_MAX) return path;
  return into;
}

static int connect_device(int flags) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char* path = getenv("VMIC_SHIM_DEVICE");
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0), 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr*)&address, sizeof address)) {
    int error = errno;
    close(fd);
    errno = error == ECONNREFUSED ? ENOENT : error; /* nobody behind the socket: no device */
    return -1;
  }
  if (flags & O_NONBLOCK) fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static mode_t mode_of(int flags, va_list rest) {
  return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                         \
  EXPORT int name(const char* path, int flags, ...) {                                      \
    NEXT(int, #name, const char*, int, ...);                                               \
    char into[PATH_MAX];                                                                   \
    va_list rest;                                                                          \
    va_start(rest, flags);                                                                 \
    mode_t mode = mode_of(flags, rest);                                                    \
    va_end(rest);                                                                          \
    return is_device(path) ? connect_device(flags) : next(moved(path, into), flags, mode); \
  }
#define OPENAT(name)                                                                               \
  EXPORT int name(int folder, const char* path, int flags, ...) {                                  \
    NEXT(int, #name, int, const char*, int, ...);                                                  \
    char into[PATH_MAX];                                                                           \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    mode_t mode = mode_of(flags, rest);                                                            \
    va_end(rest);                                                                                  \
    return is_device(path) ? connect_device(flags) : next(folder, moved(path, into), flags, mode); \
  }
/* What fortified programs call when no mode is given. */
#define OPEN_2(name)                                                                 \
  EXPORT int name(const char* path, int flags) {                                     \
    NEXT(int, #name, const char*, int);                                              \
    char into[PATH_MAX];                                                             \
    return is_device(path) ? connect_device(flags) : next(moved(path, into), flags); \
  }
#define FOPEN(name)                                       \
  EXPORT FILE* name(const char* path, const char* mode) { \
    NEXT(FILE*, #name, const char*, const char*);         \
    char into[PATH_MAX];                                  \
    return next(moved(path, into), mode);                 \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
OPEN_2(__open_2)
OPEN_2(__open64_2)
FOPEN(fopen)
FOPEN(fopen64)

EXPORT int access(const char* path, int mode) {
  NEXT(int, "access", const char*, int);
  char into[PATH_MAX];
  return next(moved(path, into), mode);
}

EXPORT int mkdir(const char* path, mode_t mode) {
  NEXT(int, "mkdir", const char*, mode_t);
  char into[PATH_MAX];
  return next(moved(path, into), mode);
}
