/*
 * Plays hv_utils for one KVP daemon and measures it. Written in C so that what it adds to a round
 * trip stays small and even.
 *
 *   driver [-c CPU] [-d CPU] [-e NAME=VALUE]... [-o] SOCKET PROGRAM [ARGUMENT]...
 *
 * -c, -d: the core for this program, and for the daemon. -e: environment of the daemon only. -o:
 * PROGRAM is no daemon; it is ready at the first byte on its standard output. Starts PROGRAM, waits
 * until it registered and prints {"pid": .., "startNs": ..}: from fork to the registration message.
 * Then one line of standard input is one measurement, and one line of JSON its result:
 *
 *   time REPEATS OPERATION...          all operations in turn, REPEATS times
 *   walk POOL RECORDS STEP             enumerates every STEPth index below RECORDS, once each
 *   grow POOL FROM COUNT               sets COUNT new keys (key000000...), numbered from FROM
 *
 * OPERATION: enum:POOL:INDEX, get:POOL:KEY, set:POOL:KEY=VALUE, del:POOL:KEY. The messages are what
 * hv_utils sends (struct hv_kvp_msg, include/uapi/linux/hyperv.h). At the end of input the daemon
 * is ended by SIGTERM, then by SIGKILL.
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
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  MESSAGE_BYTES = 7432,
  KEY_BYTES = 512,
  VALUE_BYTES = 2048,
  OPERATIONS = 32,
  ANSWER_MS = 120000
};
enum { GET = 0, SET = 1, DELETE = 2, ENUMERATE = 3, REGISTER = 100 };
/* Where the structs of each operation have their fields, from the start of the message. */
enum {
  HEADER = 4,
  ENUM_KEY = 20,
  ENUM_VALUE = 532,
  DATA_KEY_SIZE = 8,
  DATA_VALUE_SIZE = 12,
  DATA_KEY = 16,
  DATA_VALUE = 528,
  DELETE_KEY = 8
};

struct operation {
  unsigned char request[MESSAGE_BYTES];
  unsigned char reply[MESSAGE_BYTES]; /* the first one */
  uint64_t* ns;
  unsigned differing; /* replies that said something else than the first */
};

static int channel = -1;
static pid_t daemon_pid;

static void fail(const char* what) {
  fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
  if (daemon_pid > 0) kill(daemon_pid, SIGKILL);
  exit(2);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pin(int cpu) {
  cpu_set_t set;
  if (cpu < 0) return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
}

static void put_u32(unsigned char* at, uint32_t value) { memcpy(at, &value, 4); }
static uint32_t get_u32(const unsigned char* at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}

static void await(int fd, const char* what) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  int ready = poll(&wait, 1, ANSWER_MS);
  if (ready == 0) errno = ETIMEDOUT;
  if (ready <= 0) fail(what);
}

static uint64_t exchange(const unsigned char* request, unsigned char* reply) {
  uint64_t start = now_ns();
  if (send(channel, request, MESSAGE_BYTES, MSG_NOSIGNAL) != MESSAGE_BYTES) fail("send");
  ssize_t length = recv(channel, reply, MESSAGE_BYTES, 0);
  uint64_t end = now_ns();
  if (length == 0) errno = ECONNRESET;
  if (length != MESSAGE_BYTES) fail("reply");
  return end - start;
}

static void build(unsigned char* m, int op, int pool, const char* key, const char* value) {
  size_t key_size = strlen(key) + 1, value_size = strlen(value) + 1;
  if (key_size > KEY_BYTES || value_size > VALUE_BYTES) {
    errno = EMSGSIZE;
    fail("operation");
  }
  memset(m, 0, MESSAGE_BYTES);
  m[0] = (unsigned char)op;
  m[1] = (unsigned char)pool;
  if (op == ENUMERATE) {
    put_u32(m + HEADER, (uint32_t)strtoul(key, NULL, 10));
  } else if (op == DELETE) {
    put_u32(m + HEADER, (uint32_t)key_size);
    memcpy(m + DELETE_KEY, key, key_size);
  } else {
    put_u32(m + DATA_KEY_SIZE, (uint32_t)key_size);
    memcpy(m + DATA_KEY, key, key_size);
    if (op == SET) {
      put_u32(m + DATA_VALUE_SIZE, (uint32_t)value_size);
      memcpy(m + DATA_VALUE, value, value_size);
    }
  }
}

static void parse(struct operation* o, char* text) {
  char *pool = strchr(text, ':'), *key = pool ? strchr(pool + 1, ':') : NULL;
  errno = EINVAL;
  if (!key) fail(text);
  *pool++ = 0;
  *key++ = 0;
  int op = !strcmp(text, "enum")  ? ENUMERATE
           : !strcmp(text, "get") ? GET
           : !strcmp(text, "set") ? SET
                                  : DELETE;
  char* value = op == SET ? strchr(key, '=') : NULL;
  if (value) *value++ = 0;
  build(o->request, op, atoi(pool), key, value ? value : "");
}

/* hv_utils reads the value of a GET where ENUMERATE has it. */
static int same(const struct operation* o, const unsigned char* reply) {
  if (get_u32(o->reply) != get_u32(reply)) return 0;
  if (o->request[0] != GET && o->request[0] != ENUMERATE) return 1;
  return !strncmp((const char*)o->reply + ENUM_VALUE, (const char*)reply + ENUM_VALUE,
                  VALUE_BYTES) &&
         (o->request[0] == GET ||
          !strncmp((const char*)o->reply + ENUM_KEY, (const char*)reply + ENUM_KEY, KEY_BYTES));
}

static void print_hex(const char* name, const unsigned char* at, size_t limit) {
  printf(",\"%s\":\"", name);
  for (size_t i = 0; i < limit && at[i]; i++) printf("%02x", at[i]);
  putchar('"');
}

static int ascending(const void* a, const void* b) {
  uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return (x > y) - (x < y);
}

static uint64_t median(uint64_t* ns, unsigned count) {
  qsort(ns, count, sizeof *ns, ascending);
  return ns[count / 2];
}

static void time_operations(char* rest) {
  static struct operation operations[OPERATIONS];
  static unsigned char reply[MESSAGE_BYTES];
  unsigned repeats = (unsigned)strtoul(rest, &rest, 10), count = 0;
  for (char* word; (word = strsep(&rest, " \n"));) {
    if (!*word) continue;
    errno = E2BIG;
    if (count == OPERATIONS) fail("operations");
    struct operation* o = &operations[count++];
    parse(o, word);
    o->differing = 0;
    o->ns = malloc(repeats * sizeof *o->ns);
    if (!o->ns) fail("malloc");
  }
  errno = EINVAL;
  if (!repeats || !count) fail("time");
  uint64_t* total = calloc(repeats, sizeof *total);
  if (!total) fail("malloc");
  for (unsigned i = 0; i < repeats; i++) {
    for (unsigned j = 0; j < count; j++) {
      struct operation* o = &operations[j];
      o->ns[i] = exchange(o->request, reply);
      total[i] += o->ns[i];
      if (i == 0)
        memcpy(o->reply, reply, MESSAGE_BYTES);
      else if (!same(o, reply))
        o->differing++;
    }
  }
  printf("{\"medianNs\":%llu,\"operations\":[", (unsigned long long)median(total, repeats));
  for (unsigned j = 0; j < count; j++) {
    struct operation* o = &operations[j];
    printf("%s{\"medianNs\":%llu,\"differing\":%u,\"status\":%u", j ? "," : "",
           (unsigned long long)median(o->ns, repeats), o->differing, get_u32(o->reply));
    if (o->request[0] == ENUMERATE) print_hex("keyHex", o->reply + ENUM_KEY, KEY_BYTES);
    if (o->request[0] == ENUMERATE || o->request[0] == GET)
      print_hex("valueHex", o->reply + ENUM_VALUE, VALUE_BYTES);
    putchar('}');
    free(o->ns);
  }
  puts("]}");
  free(total);
}

static void walk(char* rest) {
  static unsigned char request[MESSAGE_BYTES], reply[MESSAGE_BYTES];
  int pool = (int)strtol(rest, &rest, 10);
  unsigned records = (unsigned)strtoul(rest, &rest, 10), step = (unsigned)strtoul(rest, &rest, 10),
           asked = 0, wrong = 0;
  uint64_t total = 0;
  errno = EINVAL;
  if (!step) fail("walk");
  for (unsigned i = 0; i < records; i += step, asked++) {
    char index[16], key[32];
    snprintf(index, sizeof index, "%u", i);
    snprintf(key, sizeof key, "key%06u", i);
    build(request, ENUMERATE, pool, index, "");
    total += exchange(request, reply);
    if (get_u32(reply) || strncmp((char*)reply + ENUM_KEY, key, KEY_BYTES)) wrong++;
  }
  printf("{\"totalNs\":%llu,\"asked\":%u,\"wrong\":%u}\n", (unsigned long long)total, asked, wrong);
}

static void grow(char* rest) {
  static unsigned char request[MESSAGE_BYTES], reply[MESSAGE_BYTES];
  int pool = (int)strtol(rest, &rest, 10);
  unsigned from = (unsigned)strtoul(rest, &rest, 10), count = (unsigned)strtoul(rest, &rest, 10),
           wrong = 0;
  uint64_t total = 0;
  for (unsigned i = from; i < from + count; i++) {
    char key[32], value[64];
    snprintf(key, sizeof key, "key%06u", i);
    snprintf(value, sizeof value, "value of key%06u", i);
    build(request, SET, pool, key, value);
    total += exchange(request, reply);
    if (get_u32(reply)) wrong++;
  }
  printf("{\"totalNs\":%llu,\"asked\":%u,\"wrong\":%u}\n", (unsigned long long)total, count, wrong);
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

static void register_daemon(int listener) {
  static unsigned char message[MESSAGE_BYTES];
  await(listener, "no daemon connected");
  channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (channel < 0) fail("accept");
  await(channel, "no registration");
  if (recv(channel, message, MESSAGE_BYTES, 0) != MESSAGE_BYTES || message[0] != REGISTER)
    fail("registration");
}

static void answer_registration(void) {
  static unsigned char message[MESSAGE_BYTES] = {REGISTER};
  strcpy((char*)message + HEADER, "3.1");
  if (send(channel, message, MESSAGE_BYTES, MSG_NOSIGNAL) != MESSAGE_BYTES) fail("registration");
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
  int own_cpu = -1, daemon_cpu = -1, by_output = 0, option, output[2] = {-1, -1}, listener = -1;
  char* environment[16] = {0};
  unsigned variables = 0;
  while ((option = getopt(argc, argv, "+c:d:e:o")) != -1) {
    if (option == 'c')
      own_cpu = atoi(optarg);
    else if (option == 'd')
      daemon_cpu = atoi(optarg);
    else if (option == 'e' && variables < 15)
      environment[variables++] = optarg;
    else if (option == 'o')
      by_output = 1;
    else
      return 2;
  }
  argv += optind;
  if (argc - optind < 2) return 2;
  pin(own_cpu);
  if (by_output) {
    if (pipe2(output, O_CLOEXEC)) fail("pipe");
  } else {
    listener = listen_at(argv[0]);
  }
  uint64_t start = now_ns();
  daemon_pid = fork();
  if (daemon_pid < 0) fail("fork");
  if (daemon_pid == 0) {
    pin(daemon_cpu);
    for (unsigned i = 0; i < variables; i++) putenv(environment[i]);
    int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(by_output ? output[1] : nowhere, 1);
    execvp(argv[1], argv + 1);
    fail(argv[1]);
  }
  if (by_output) {
    char byte;
    close(output[1]);
    if (read(output[0], &byte, 1) != 1) fail("output");
  } else {
    register_daemon(listener);
  }
  uint64_t ready = now_ns();
  if (!by_output) answer_registration();
  printf("{\"pid\":%d,\"startNs\":%llu}\n", (int)daemon_pid, (unsigned long long)(ready - start));
  fflush(stdout);

  char* line = NULL;
  size_t room = 0;
  while (getline(&line, &room, stdin) > 0) {
    if (!strncmp(line, "time ", 5))
      time_operations(line + 5);
    else if (!strncmp(line, "walk ", 5))
      walk(line + 5);
    else if (!strncmp(line, "grow ", 5))
      grow(line + 5);
    else {
      errno = EINVAL;
      fail(line);
    }
    fflush(stdout);
  }
  free(line);
  end_daemon();
  return 0;
}
