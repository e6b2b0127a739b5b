/*
 * Tells since when writers of file systems have been waiting: those that are frozen, seen from
 * outside.
 *
 *   witness [-c CPU] FOLDER...
 *
 * For each folder a process asks every millisecond to remove a file that isn't there, which waits
 * while the file system is frozen and writes nothing while it isn't. Each line of standard input is
 * answered by one of JSON: {"nowNs": .., "lastNs": [..]}, CLOCK_MONOTONIC, with the end of the last
 * such call in each folder. Ends with its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_US = 1000 };

static void fail(const char* what) {
  fprintf(stderr, "witness: %s: %s\n", what, strerror(errno));
  exit(2);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void watch(const char* folder, volatile uint64_t* last) {
  int fd = open(folder, O_RDONLY | O_DIRECTORY);
  if (fd < 0) fail(folder);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    if (unlinkat(fd, "vmic-witness", 0) == 0 || errno != ENOENT) fail(folder);
    *last = now_ns();
    usleep(PAUSE_US);
  }
}

int main(int count, char** arguments) {
  int first = 1;
  if (count > 2 && !strcmp(arguments[1], "-c")) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(atoi(arguments[2]), &set);
    if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
    first = 3;
  }
  int folders = count - first;
  errno = EINVAL;
  if (folders < 1) fail("usage");
  volatile uint64_t* last = mmap(NULL, (size_t)folders * sizeof *last, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (last == MAP_FAILED) fail("mmap");
  for (int i = 0; i < folders; i++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) watch(arguments[first + i], &last[i]);
  }
  for (char line[16]; fgets(line, sizeof line, stdin);) {
    if (waitpid(-1, NULL, WNOHANG) > 0) return 2; /* it has said why */
    printf("{\"nowNs\":%llu,\"lastNs\":[", (unsigned long long)now_ns());
    for (int i = 0; i < folders; i++) printf("%s%llu", i ? "," : "", (unsigned long long)last[i]);
    puts("]}");
    fflush(stdout);
  }
  return 0;
}
