/*
 * Plays the host of the file copy service for one daemon and measures it: whole files in fragments
 * of 6 KiB, each sent when the one before has been answered. Written in C so that what it adds
 * stays small and even.
 *
 *   fcopy [-c CPU] [-d CPU] [-e NAME=VALUE]... device|ring SOCKET PROGRAM [ARGUMENT]...
 *
 * -c, -d: the core for this program, and for the daemon. -e: environment of the daemon only.
 * device: the messages of /dev/vmbus/hv_fcopy, one a datagram. ring: VMBus packets in shared memory
 * (16 KiB of data each way, as kernels give this service), which is passed over the socket; a
 * datagram is an event. Starts PROGRAM, waits until it registered or negotiated and prints {"pid":
 * .., "startNs": ..}. Then one line of standard input "copy FOLDER NAME BYTES" is one copy, and one
 * line of JSON its result: wall time and the daemon's CPU time from the start message to the answer
 * to the complete message, the first status that was no success, and whether the file holds what
 * was sent.
 *
 * Sources of the layouts: include/uapi/linux/hyperv.h, include/linux/hyperv.h,
 * drivers/hv/hv_fcopy.c. At the end of input the daemon is ended by SIGTERM, then by SIGKILL.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MS = 120000, FRAGMENT_BYTES = 6144, NAME_UNITS = 260 };
enum { START = 0, DATA = 1, COMPLETE = 2, OVERWRITE = 1 };
/* A body: operation, 32 bytes of ids, then by operation. */
enum {
  HEADER_BYTES = 36,
  FILE_NAME = 36,
  PATH = 556,
  FLAGS = 1076,
  FILE_SIZE = 1080,
  START_BYTES = 1088
};
enum { OFFSET = 40, SIZE = 48, FRAGMENT = 52, DATA_BYTES = 6196 };
/* hv_utils passes on as many bytes of a short message as its whole packet had. */
enum { IC_BYTES = 28, SHORT_BYTES = HEADER_BYTES + IC_BYTES };
enum { PAGE = 4096, RING_DATA = 16384, RING_BYTES = PAGE + RING_DATA, RING_MAGIC = 0x474e5256 };
enum {
  WRITE_INDEX = 0,
  READ_INDEX = 4,
  MASK = 8,
  FEATURES = 64,
  DESCRIPTOR = 16,
  FOOTER = 8,
  INBAND = 6
};

static int channel = -1, ring;
static pid_t daemon_pid;
static uint8_t *outbound, *inbound; /* as the guest sees them */
static uint8_t message[IC_BYTES + DATA_BYTES], answer[RING_DATA];
static uint8_t* const body = message + IC_BYTES;
static uint64_t transaction;

static void fail(const char* what) {
  fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
  if (daemon_pid > 0) kill(daemon_pid, SIGKILL);
  exit(2);
}

static uint64_t read_clock(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) fail("clock_gettime");
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pin(int cpu) {
  cpu_set_t set;
  if (cpu < 0) return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
}

static void put16(uint8_t* at, unsigned value) { memcpy(at, &(uint16_t){(uint16_t)value}, 2); }
static void put32(uint8_t* at, uint32_t value) { memcpy(at, &value, 4); }
static void put64(uint8_t* at, uint64_t value) { memcpy(at, &value, 8); }
static uint32_t get32(const uint8_t* at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}
static uint32_t load(uint8_t* control, int word) {
  return __atomic_load_n((uint32_t*)(control + word), __ATOMIC_ACQUIRE);
}
static void store(uint8_t* control, int word, uint32_t value) {
  __atomic_store_n((uint32_t*)(control + word), value, __ATOMIC_RELEASE);
}

static uint32_t copy_in(uint32_t index, const void* from, uint32_t bytes) {
  uint32_t first = bytes < RING_DATA - index ? bytes : RING_DATA - index;
  memcpy(inbound + PAGE + index, from, first);
  memcpy(inbound + PAGE, (const uint8_t*)from + first, bytes - first);
  return (index + bytes) % RING_DATA;
}

static uint32_t copy_out(void* into, uint32_t index, uint32_t bytes) {
  uint32_t first = bytes < RING_DATA - index ? bytes : RING_DATA - index;
  memcpy(into, outbound + PAGE + index, first);
  memcpy((uint8_t*)into + first, outbound + PAGE, bytes - first);
  return (index + bytes) % RING_DATA;
}

/* The guest has answered everything, so there is room. */
static void send_packet(uint32_t bytes) {
  uint32_t start = load(inbound, WRITE_INDEX), padded = (bytes + 7) / 8 * 8, one = 1;
  uint8_t descriptor[DESCRIPTOR], footer[FOOTER] = {0}, zero[8] = {0};
  put16(descriptor, INBAND);
  put16(descriptor + 2, DESCRIPTOR / 8);
  put16(descriptor + 4, (DESCRIPTOR + padded) / 8);
  put16(descriptor + 6, 1);
  put64(descriptor + 8, ++transaction);
  put32(footer + 4, start);
  uint32_t at = copy_in(start, descriptor, DESCRIPTOR);
  at = copy_in(at, message, bytes);
  at = copy_in(at, zero, padded - bytes);
  store(inbound, WRITE_INDEX, copy_in(at, footer, FOOTER));
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (load(inbound, MASK) == 0 && load(inbound, READ_INDEX) == start &&
      send(channel, &one, sizeof one, MSG_NOSIGNAL) < 0)
    fail("send");
}

/* Waits for a packet and takes it; gives its length. */
static uint32_t take_packet(void) {
  uint32_t index = load(outbound, READ_INDEX), wake;
  while (load(outbound, WRITE_INDEX) == index) {
    ssize_t got = recv(channel, &wake, sizeof wake, 0);
    if (got == 0) errno = ECONNRESET;
    if (got <= 0) fail("answer");
  }
  uint8_t descriptor[DESCRIPTOR];
  uint32_t at = copy_out(descriptor, index, DESCRIPTOR);
  uint32_t bytes = (uint32_t)(descriptor[4] | descriptor[5] << 8) * 8;
  errno = EBADMSG;
  if (descriptor[0] != INBAND || descriptor[2] != DESCRIPTOR / 8 || bytes < DESCRIPTOR ||
      bytes > RING_DATA)
    fail("descriptor");
  at = copy_out(answer, at, bytes - DESCRIPTOR);
  store(outbound, READ_INDEX, (at + FOOTER) % RING_DATA);
  return bytes - DESCRIPTOR;
}

static void ic_header(unsigned type, uint32_t body_bytes) {
  memset(message, 0, IC_BYTES);
  put32(message, 1);
  put32(message + 4, IC_BYTES - 8 + body_bytes);
  put16(message + 8, 3);
  put16(message + 12, type);
  put16(message + 14, 1);
  put16(message + 16, 1);
  put16(message + 18, body_bytes);
  message[25] = 3;
}

/* Sends the body of that many bytes; gives the status it is answered with. */
static uint32_t exchange(uint32_t bytes) {
  if (ring) {
    ic_header(7, bytes);
    send_packet(IC_BYTES + bytes);
    errno = EBADMSG;
    if (take_packet() < IC_BYTES || answer[12] != 7 || answer[25] != 5) fail("answer");
    return get32(answer + 20);
  }
  if (bytes == HEADER_BYTES) bytes = SHORT_BYTES;
  if (send(channel, body, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) fail("send");
  ssize_t got = recv(channel, answer, sizeof answer, 0);
  errno = got ? EBADMSG : ECONNRESET;
  if (got != 4) fail("answer");
  return get32(answer);
}

/* ASCII: what both wires can be given by hand. */
static void put_name(uint8_t* at, const char* name) {
  errno = ENAMETOOLONG;
  if (strlen(name) >= NAME_UNITS) fail(name);
  for (int i = 0; name[i]; i++) at[ring ? 2 * i : i] = (uint8_t)name[i];
}

static int holds(const char* folder, const char* name, const uint8_t* content, uint64_t bytes) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  off_t size = lseek(fd, 0, SEEK_END);
  uint8_t* file =
      (uint64_t)size == bytes ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  close(fd);
  if (file == MAP_FAILED) return 0;
  int same = !memcmp(file, content, bytes);
  munmap(file, bytes);
  return same;
}

static void copy(char* rest) {
  char *folder = strsep(&rest, " "), *name = strsep(&rest, " ");
  errno = EINVAL;
  uint64_t bytes = rest ? strtoull(rest, NULL, 10) : 0;
  if (!bytes) fail("copy");
  /* Other bytes at every place, and in every copy */
  static uint64_t state = 88172645463325252u;
  uint8_t* content = malloc(bytes + 8);
  if (!content) fail("malloc");
  for (uint64_t i = 0; i < bytes; i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    put64(content + i, state);
  }
  clockid_t cpu;
  if (clock_getcpuclockid(daemon_pid, &cpu)) fail("clock_getcpuclockid");
  memset(body, 0, START_BYTES);
  put32(body, START);
  put_name(body + FILE_NAME, name);
  put_name(body + PATH, folder);
  put32(body + FLAGS, OVERWRITE);
  put64(body + FILE_SIZE, bytes);
  uint64_t cpu_before = read_clock(cpu), before = read_clock(CLOCK_MONOTONIC);
  uint32_t status = exchange(START_BYTES);
  memset(body, 0, FRAGMENT);
  put32(body, DATA);
  for (uint64_t offset = 0; offset < bytes && !status; offset += FRAGMENT_BYTES) {
    uint32_t size = bytes - offset < FRAGMENT_BYTES ? (uint32_t)(bytes - offset) : FRAGMENT_BYTES;
    put64(body + OFFSET, offset);
    put32(body + SIZE, size);
    memcpy(body + FRAGMENT, content + offset, size);
    status = exchange(DATA_BYTES);
  }
  memset(body, 0, SHORT_BYTES);
  put32(body, COMPLETE);
  if (!status) status = exchange(HEADER_BYTES);
  uint64_t after = read_clock(CLOCK_MONOTONIC), cpu_after = read_clock(cpu);
  printf("{\"ns\":%llu,\"cpuNs\":%llu,\"status\":%u,\"whole\":%s}\n",
         (unsigned long long)(after - before), (unsigned long long)(cpu_after - cpu_before), status,
         holds(folder, name, content, bytes) ? "true" : "false");
  free(content);
}

static int listen_at(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  errno = ENAMETOOLONG;
  if (strlen(path) >= sizeof address.sun_path) fail(path);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address) || listen(fd, 1)) fail(path);
  return fd;
}

static void await(int fd, const char* what) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  int ready = poll(&wait, 1, ANSWER_MS);
  if (ready == 0) errno = ETIMEDOUT;
  if (ready <= 0) fail(what);
}

static void pass_rings(void) {
  int memory = memfd_create("rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory < 0 || ftruncate(memory, 2 * RING_BYTES) || fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK))
    fail("memfd_create");
  outbound = mmap(NULL, 2 * RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (outbound == MAP_FAILED) fail("mmap");
  inbound = outbound + RING_BYTES;
  outbound[FEATURES] = inbound[FEATURES] = 1;
  uint32_t words[2] = {RING_MAGIC, 2 * RING_BYTES};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec part = {words, sizeof words};
  struct msghdr header = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof control.bytes};
  struct cmsghdr* passed = CMSG_FIRSTHDR(&header);
  passed->cmsg_level = SOL_SOCKET;
  passed->cmsg_type = SCM_RIGHTS;
  passed->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(passed), &memory, sizeof memory);
  if (sendmsg(channel, &header, MSG_NOSIGNAL) != sizeof words) fail("sendmsg");
  close(memory);
}

static void connect_daemon(int listener) {
  await(listener, "no daemon connected");
  channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (channel < 0) fail("accept");
  if (!ring) {
    await(channel, "no registration");
    if (recv(channel, answer, sizeof answer, 0) != 4 || get32(answer) != 1) fail("registration");
    if (send(channel, &(uint32_t){1}, 4, MSG_NOSIGNAL) != 4) fail("registration");
    return;
  }
  pass_rings();
  ic_header(0, 16);
  memset(body, 0, 16);
  put16(body, 1);
  put16(body + 2, 1);
  put16(body + 8, 3);
  put16(body + 12, 1);
  put16(body + 14, 1);
  send_packet(IC_BYTES + 16);
  await(channel, "no answer to the negotiation");
  errno = EBADMSG;
  if (take_packet() < IC_BYTES + 16 || answer[IC_BYTES] != 1 || answer[IC_BYTES + 2] != 1)
    fail("negotiation");
}

static void end_daemon(void) {
  kill(daemon_pid, SIGTERM);
  for (int i = 0; i < 200; i++) {
    if (waitpid(daemon_pid, NULL, WNOHANG)) return;
    usleep(10000);
  }
  kill(daemon_pid, SIGKILL);
  waitpid(daemon_pid, NULL, 0);
}

int main(int argc, char** argv) {
  int own_cpu = -1, daemon_cpu = -1, option;
  char* environment[16] = {0};
  unsigned variables = 0;
  while ((option = getopt(argc, argv, "+c:d:e:")) != -1) {
    if (option == 'c')
      own_cpu = atoi(optarg);
    else if (option == 'd')
      daemon_cpu = atoi(optarg);
    else if (option == 'e' && variables < 15)
      environment[variables++] = optarg;
    else
      return 2;
  }
  argv += optind;
  if (argc - optind < 3) return 2;
  ring = !strcmp(argv[0], "ring");
  pin(own_cpu);
  int listener = listen_at(argv[1]);
  uint64_t start = read_clock(CLOCK_MONOTONIC);
  daemon_pid = fork();
  if (daemon_pid < 0) fail("fork");
  if (daemon_pid == 0) {
    pin(daemon_cpu);
    for (unsigned i = 0; i < variables; i++) putenv(environment[i]);
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    execvp(argv[2], argv + 2);
    fail(argv[2]);
  }
  connect_daemon(listener);
  printf("{\"pid\":%d,\"startNs\":%llu}\n", (int)daemon_pid,
         (unsigned long long)(read_clock(CLOCK_MONOTONIC) - start));
  fflush(stdout);

  char* line = NULL;
  size_t room = 0;
  while (getline(&line, &room, stdin) > 0) {
    errno = EINVAL;
    if (strncmp(line, "copy ", 5)) fail(line);
    copy(line + 5);
    fflush(stdout);
  }
  free(line);
  end_daemon();
  return 0;
}
