/**
 * Stands in for systemd with a socket unit of the kind ListenSpecial=, and its service: holds one
 * open channel, starts the program when that is readable, waits for its end, and so on. The program
 * gets the descriptor by sd_listen_fds(3)'s protocol, and is started once at the beginning, as by
 * Wants= of the socket unit. A failed program is started again, as by Restart=on-failure. Sources:
 * systemd.socket(5), systemd.service(5).
 *
 * usage: holder unix|unix-ring SOCKET PROGRAM [ARGUMENT...]
 *
 * Says on standard output: "started PID", "ended STATUS", and in the end "hung up" (the socket unit
 * would have failed). On SIGTERM the program gets SIGTERM, too. SIGUSR1 restarts the program. Exit
 * status 0 unless something is wrong with itself.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "core/socket.h"

namespace {

volatile sig_atomic_t child = 0;
volatile sig_atomic_t stopping = 0;
volatile sig_atomic_t restarting = 0;

[[noreturn]] void fail(const char* what) {
  perror(what);
  exit(1);
}

void onSignal(int number) {
  if (number == SIGTERM)
    stopping = 1;
  else
    restarting = 1;
  if (child > 0) kill(child, SIGTERM);
}

/// Runs the program to its end and gives its status as waitpid() does.
int run(char** command, const int* fds, int count) {
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // From 10 up first, so that none is overwritten before it was moved
    for (int i = 0; i < count; ++i) {
      if (fcntl(fds[i], F_DUPFD, 10 + i) != 10 + i) fail("dup");
    }
    for (int i = 0; i < count; ++i) {
      if (dup2(10 + i, 3 + i) < 0 || close(10 + i) < 0) fail("dup2");
    }
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", std::to_string(count).c_str(), 1);
    setenv("LISTEN_FDNAMES", "vmic-test.socket", 1);
    execvp(command[0], command);
    fail("exec");
  }
  child = pid;
  printf("started %d\n", pid);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
  }
  child = 0;
  printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const bool isRing = strcmp(argv[1], "unix-ring") == 0;
  vmic::Fd connection;
  vmic::Fd memory;
  size_t bytes = 0;
  if (vmic::connectSeqpacket(argv[2], connection)) fail("connect");
  if (isRing && vmic::receiveRingMemory(connection.get(), 5, memory, bytes)) fail("receive");
  struct sigaction action = {};
  action.sa_handler = onSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);
  const int fds[] = {connection.get(), memory.get()};
  for (bool now = true;;) {
    if (!now) {
      pollfd wait = {connection.get(), POLLIN, 0};
      const int ready = poll(&wait, 1, -1);
      if (stopping) return 0;
      if (ready < 0) continue;
      if (wait.revents != POLLIN) {
        puts("hung up");
        return 0;
      }
    }
    const int status = run(argv + 3, fds, isRing ? 2 : 1);
    if (stopping) return 0;
    now = status != 0 || restarting;
    restarting = 0;
  }
}
