/*
 * LD_PRELOAD shim: lets unmodified file copy daemons run without Hyper-V.
 *
 * VMIC_SHIM_DEVICE  path of a seqpacket socket; opening /dev/vmbus/hv_fcopy or /dev/uio0 connects
 * to it instead VMIC_SHIM_SYSFS   folder that stands in for /sys/bus/vmbus
 *
 * /dev/vmbus/hv_fcopy: one write is one message, one read is one message, at whatever offset.
 * /dev/uio0: what is mapped are the rings which the host passes as a descriptor; a read waits for
 * events and takes all there are, as their count is read from the real device; a write of 1 clears
 * the inbound ring's interrupt mask and signals the host, a write of 0 sets the mask
 * (drivers/uio/uio_hv_generic.c).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEVICE "/dev/vmbus/hv_fcopy"
#define UIO "/dev/uio0"
#define SYSFS "/sys/bus/vmbus"
#define EXPORT __attribute__((visibility("default")))

enum { RING_MAGIC = 0x474e5256, INTERRUPT_MASK = 8, WAKES_AT_ONCE = 64 };

#define NEXT(result, name, ...)       \
  static result (*next)(__VA_ARGS__); \
  if (!next) *(void**)&next = dlsym(RTLD_NEXT, name)

static int device = -1; /* the open device of either kind */
static int memory = -1; /* the rings of an open UIO device */
static uint8_t* rings;
static size_t map_bytes;
static uint32_t events;

/* The path to use instead: `path` itself, or the one in the stand-in folder, built in `into`. */
static const char* moved(const char* path, char into[PATH_MAX]) {
  const char* folder = getenv("VMIC_SHIM_SYSFS");
  size_t length = strlen(SYSFS);
  if (!folder || strncmp(path, SYSFS, length) || (path[length] && path[length] != '/')) return path;
  if (snprintf(into, PATH_MAX, "%s%s", folder, path + length) >= PATH_MAX) return path;
  return into;
}

static int receive_memory(int connection) {
  uint32_t message[2];
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {message, sizeof message};
  struct msghdr header = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes};
  if (recvmsg(connection, &header, MSG_CMSG_CLOEXEC) != sizeof message || message[0] != RING_MAGIC)
    return -1;
  struct cmsghdr* passed = CMSG_FIRSTHDR(&header);
  if (!passed || passed->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(passed), sizeof fd);
  return fd;
}

static int open_device(int uio) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char* path = getenv("VMIC_SHIM_DEVICE");
  errno = ENOENT;
  if (!path || strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr*)&address, sizeof address) ||
      (uio && (memory = receive_memory(fd)) < 0)) {
    close(fd);
    errno = ENOENT; /* nobody behind the socket: no device */
    return -1;
  }
  return device = fd;
}

#define OPEN(name)                                                                           \
  EXPORT int name(const char* path, int flags, ...) {                                        \
    NEXT(int, #name, const char*, int, ...);                                                 \
    va_list rest;                                                                            \
    va_start(rest, flags);                                                                   \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                \
    va_end(rest);                                                                            \
    if (!strcmp(path, DEVICE) || !strcmp(path, UIO)) return open_device(!strcmp(path, UIO)); \
    return next(path, flags, mode);                                                          \
  }
OPEN(open)
OPEN(open64)

EXPORT DIR* opendir(const char* path) {
  NEXT(DIR*, "opendir", const char*);
  char into[PATH_MAX];
  return next(moved(path, into));
}

EXPORT int stat(const char* path, struct stat* result) {
  NEXT(int, "stat", const char*, struct stat*);
  char into[PATH_MAX];
  return next(moved(path, into), result);
}

#define MMAP(name)                                                                             \
  EXPORT void* name(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) { \
    NEXT(void*, #name, void*, size_t, int, int, int, off_t);                                   \
    if (fd < 0 || fd != device || memory < 0)                                                  \
      return next(at, bytes, protection, flags, fd, offset);                                   \
    map_bytes = bytes;                                                                         \
    return rings = next(at, bytes, protection, flags, memory, offset);                         \
  }
MMAP(mmap)
MMAP(mmap64)

/* One call takes all the wake-ups there are, as a read of the real device does. */
static ssize_t read_events(void* into, size_t bytes) {
  static uint32_t wakes[WAKES_AT_ONCE];
  static struct iovec parts[WAKES_AT_ONCE];
  static struct mmsghdr messages[WAKES_AT_ONCE];
  errno = EINVAL;
  if (bytes != sizeof events) return -1;
  for (int i = 0; i < WAKES_AT_ONCE; i++) {
    parts[i] = (struct iovec){&wakes[i], sizeof wakes[i]};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  int got = recvmmsg(device, messages, WAKES_AT_ONCE, MSG_WAITFORONE, NULL);
  if (got < 1 || messages[0].msg_len == 0) {
    errno = EIO; /* rescinded */
    return -1;
  }
  events += (uint32_t)got;
  memcpy(into, &events, sizeof events);
  return sizeof events;
}

static ssize_t write_event(const void* from, size_t bytes) {
  uint32_t word;
  errno = EINVAL;
  if (bytes != sizeof word) return -1;
  memcpy(&word, from, sizeof word);
  __atomic_store_n((uint32_t*)(rings + map_bytes / 2 + INTERRUPT_MASK), !word, __ATOMIC_SEQ_CST);
  /* EAGAIN: one is pending already */
  if (word && send(device, from, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
    return -1;
  return sizeof word;
}

static ssize_t read_device(void* into, size_t bytes) {
  if (memory >= 0) return read_events(into, bytes);
  ssize_t got = recv(device, into, bytes, 0);
  if (got != 0) return got;
  errno = EBADF; /* hv_utils took the device down */
  return -1;
}

static ssize_t write_device(const void* from, size_t bytes) {
  return memory >= 0 ? write_event(from, bytes) : send(device, from, bytes, MSG_NOSIGNAL);
}

static int is_device(int fd) { return fd >= 0 && fd == device; }

EXPORT ssize_t write(int fd, const void* from, size_t bytes) {
  NEXT(ssize_t, "write", int, const void*, size_t);
  return is_device(fd) ? write_device(from, bytes) : next(fd, from, bytes);
}

#define PREAD(name)                                                                  \
  EXPORT ssize_t name(int fd, void* into, size_t bytes, off_t offset) {              \
    NEXT(ssize_t, #name, int, void*, size_t, off_t);                                 \
    return is_device(fd) ? read_device(into, bytes) : next(fd, into, bytes, offset); \
  }
PREAD(pread)
PREAD(pread64)

#define PWRITE(name)                                                                  \
  EXPORT ssize_t name(int fd, const void* from, size_t bytes, off_t offset) {         \
    NEXT(ssize_t, #name, int, const void*, size_t, off_t);                            \
    return is_device(fd) ? write_device(from, bytes) : next(fd, from, bytes, offset); \
  }
PWRITE(pwrite)
PWRITE(pwrite64)
