// Tests of starting programs, compiled with sanitizers by core.test.ts.
// Usage: core_process unit | bare | old | hung | races COUNT SEED
//   unit    everything once
//   bare    without standard descriptors; exit status only
//   old     unit where the system knows neither pidfd_open nor close_range
//   hung    a disk that never answers while a file is executed (a supervised execve stands in for
//           it)
//   races   processes killed and let go of at any moment
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/process.h"
#include "core_process_support.h"

namespace {

void outputs() {
  Started both(shell("echo out; echo err >&2; exit 3"));
  CHECK(both.end().exitStatus == 3 && both.end().signal == 0);
  CHECK(both.output() == "out\n" && both.errors() == "err\n");
  // Twice: it has started, and it has ended
  both.awaitEvents(2);
  CHECK(both.counted == 2);

  ProcessOptions bounded =
      shell("head -c 1000000 /dev/zero | tr '\\0' a; head -c 100 /dev/zero >&2");
  bounded.outputBytes = 100;
  Started floods(std::move(bounded));
  CHECK(floods.end().exitStatus == 0);
  CHECK(floods.output() == std::string(100, 'a'));
  CHECK(floods.errors().size() == 100);

  ProcessOptions nothing = shell("echo much");
  nothing.outputBytes = 0;
  CHECK(outputOf(std::move(nothing)).empty());

  Started killed(shell("kill -9 $$"));
  CHECK(killed.end().signal == SIGKILL);
}

void whatItIsGiven() {
  ProcessOptions words = options("/usr/bin/printf", {"%s|", "$(id) `id` \"'\n*", "", "--"});
  CHECK(outputOf(std::move(words)) == "$(id) `id` \"'\n*||--|");
  ProcessOptions environment = options("env");
  environment.environment.push_back("TEXT=$(id)\n");
  CHECK(outputOf(std::move(environment)) == "PATH=/usr/bin:/bin\nTEXT=$(id)\n\n");

  CHECK(outputOf(options("cat")).empty());
  ProcessOptions input = options("wc", {"-c"});
  input.input.assign(1 << 20, 'x');
  CHECK(outputOf(std::move(input)) == "1048576\n");
  ProcessOptions unread = options("true");
  unread.input.assign(1 << 20, 'x');
  CHECK(outputOf(std::move(unread)).empty());

  ProcessOptions inFolder = options("pwd", {"-P"});
  inFolder.folder = "/usr";
  CHECK(outputOf(std::move(inFolder)) == "/usr\n");
}

void whatItDoesNotInherit() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGRTMIN, &action, nullptr);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const Fd inherited(::fcntl(STDOUT_FILENO, F_DUPFD, 100));
  CHECK(inherited);

  const std::string status = outputOf(options("cat", {"/proc/self/status"}));
  CHECK(field(status, "SigBlk") == "0000000000000000");
  CHECK(field(status, "SigIgn") == "0000000000000000");
  CHECK(field(status, "SigCgt") == "0000000000000000");
  // The last one is that of the folder which is listed
  CHECK(outputOf(options("ls", {"/proc/self/fd"})) == "0\n1\n2\n3\n");

  // This thread's own are as before
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, &before, &now);
  CHECK(sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGUSR1) == 0);
  CHECK(::fcntl(inherited.get(), F_GETFD) == 0);
  struct sigaction pipeAction = {};
  ::sigaction(SIGPIPE, nullptr, &pipeAction);
  CHECK(pipeAction.sa_handler == SIG_IGN);
}

void niceness() {
  const int own = ::getpriority(PRIO_PROCESS, 0);
  const auto nice = [](int atLeast) {
    ProcessOptions asked = options("nice");
    asked.niceness = atLeast;
    return std::stoi(outputOf(std::move(asked)));
  };
  CHECK(nice(-20) == own);
  CHECK(nice(std::min(own + 5, 19)) == std::min(own + 5, 19));
  CHECK(nice(own - 1) == own);
  CHECK(::getpriority(PRIO_PROCESS, 0) == own);
}

void failures() {
  failsWith(options(folder + "/missing"), ENOENT, "execve", folder + "/missing");
  failsWith(options(folder), EACCES, "execve", folder);
  failsWith(options(""), ENOENT, "execve", "");
  failsWith(options("no-such-program"), ENOENT, "execve", "no-such-program");
  const std::string garbage = file("garbage",
                                   "\x7f"
                                   "E",
                                   0755);
  failsWith(options(garbage), ENOEXEC, "execve", garbage);
  const std::string orphan = file("orphan", "#!/no/such/interpreter\n", 0755);
  failsWith(options(orphan), ENOENT, "execve", orphan);
  ProcessOptions nowhere = options("true");
  nowhere.folder = "/no/such/folder";
  failsWith(std::move(nowhere), ENOENT, "chdir", "/no/such/folder");
  // Longer than the kernel takes (MAX_ARG_STRLEN)
  failsWith(options("true", {std::string(200 * 1024, 'x')}), E2BIG, "execve", "true");
}

void noDescriptors() {
  rlimit before;
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit limited = before;
  Fd last(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  // Room for the events and the thread's copy of it, and for nothing else
  limited.rlim_cur = static_cast<rlim_t>(last.get()) + 2;
  last.reset();
  ::setrlimit(RLIMIT_NOFILE, &limited);
  Started started(options("true"));
  const int code = started.end().failure.code;
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(code == EMFILE);
}

void search() {
  file("first/tool", "#!/bin/sh\necho first\n", 0644);
  file("second/tool", "#!/bin/sh\necho second\n", 0755);
  const auto in = [](const std::string& path, const std::string& name) {
    ProcessOptions made = options(name);
    made.environment = {"PATH=" + path};
    made.folder = folder + "/second";
    return made;
  };
  const std::string first = folder + "/first";
  const std::string second = folder + "/second";
  CHECK(outputOf(in(first + ":/no/such:" + first + "/tool:" + second, "tool")) == "second\n");
  failsWith(in(first + ":/no/such", "tool"), EACCES, "execve", "tool");
  // Neither an empty folder of PATH nor none at all means the working folder
  failsWith(in("::", "tool"), ENOENT, "execve", "tool");
  failsWith(in("", "tool"), ENOENT, "execve", "tool");
  ProcessOptions none = in("", "tool");
  none.environment.clear();
  failsWith(std::move(none), ENOENT, "execve", "tool");
  CHECK(outputOf(in("", "./tool")) == "second\n");
}

void groups() {
  const std::string ready = folder + "/ready";
  Started hangs(shell("sleep 1000 & echo $!; : >" + ready + "; wait"));
  hangs.awaitEvents(1);
  const pid_t group = hangs.process.pid();
  CHECK(group > 0 && ::getpgid(group) == group);
  while (::access(ready.c_str(), F_OK) < 0) sleepOneMs();
  hangs.process.kill(SIGTERM);
  CHECK(hangs.end().signal == SIGTERM);
  awaitDeath(std::stoi(hangs.output()));

  // One that was left behind with the pipes open is not waited for, and can be ended afterwards
  Started leaves(shell("sleep 1000 & echo $!"));
  CHECK(leaves.end().exitStatus == 0);
  const pid_t left = std::stoi(leaves.output());
  CHECK(isAlive(left));
  leaves.process.kill(SIGKILL);
  awaitDeath(left);

  // At once, before it is started
  Started early(options("sleep", {"1000"}));
  early.process.kill(SIGTERM);
  CHECK(early.end().signal == SIGTERM);

  // What is let go of is killed
  Started dropped(shell("sleep 1000 & wait"));
  dropped.awaitEvents(1);
  const pid_t pid = dropped.process.pid();
  dropped.process.close();
  CHECK(dropped.process.pid() == 0 && dropped.process.end() == nullptr);
  dropped.process.kill(SIGTERM);
  dropped.process.close();
  awaitDeath(pid);

  // What has ended is not: a child it left behind may be meant to stay
  pid_t daemon = 0;
  {
    Started daemonises(shell("sleep 1000 >/dev/null 2>&1 & echo $!"));
    daemon = std::stoi(daemonises.output());
  }
  CHECK(isAlive(daemon));
  ::kill(daemon, SIGKILL);
}

void withoutStandardDescriptors() {
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  ProcessOptions asked = shell("cat; echo err >&2");
  asked.input = {'i', 'n'};
  Started started(std::move(asked));
  CHECK(started.output() == "in" && started.errors() == "err\n");
}

void races(uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  const size_t descriptors = countDescriptors();
  for (uint64_t round = 0; round < count; ++round) {
    Started started(random() % 4 == 0 ? options("/no/such/program")
                                      : shell("echo $$; exec sleep 1000"));
    const timespec moment = {0, static_cast<long>(random() % 3000) * 1000};
    if (random() % 4 != 0) ::nanosleep(&moment, nullptr);
    if (random() % 2 == 0) started.process.kill(SIGKILL);
    if (random() % 4 == 0) started.process.kill(SIGTERM);
    if (random() % 2 == 0 && started.process.end() == nullptr) started.process.close();
    // The rest as it goes out of scope
  }
  awaitNothingLeft(descriptors);
}

int installFilter(std::vector<sock_filter> filter, unsigned flags) {
  CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

constexpr sock_filter kLoadNumber = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));

void forgetNewCalls() {
  CHECK(installFilter({kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 434, 1, 0),
                       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 436, 0, 1),
                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)},
                      0) == 0);
  CHECK(::syscall(434, ::getpid(), 0) < 0 && ::syscall(436, 1000, 1000, 0) < 0);
}

/// Who supervises execve is never answered, so a child hangs in it as on a disk that does not
/// answer.
void hung() {
  const size_t descriptors = countDescriptors();
  const Fd listener(
      installFilter({kLoadNumber, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)},
                    SECCOMP_FILTER_FLAG_NEW_LISTENER));
  CHECK(listener);
  const auto awaitExecve = [&listener] {
    seccomp_notif notification = {};
    CHECK(::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) == 0);
    return static_cast<pid_t>(notification.pid);
  };
  {
    // This thread goes on: were it held up, nothing would be said here
    Started killed(options("true"));
    const pid_t pid = awaitExecve();
    CHECK(killed.process.pid() == pid && killed.process.end() == nullptr);
    CHECK(::getpgid(pid) == pid);
    killed.process.kill(SIGKILL);
    CHECK(killed.end().signal == SIGKILL);
  }
  {
    Started ended(options("true"));
    awaitExecve();
    // Signals are not blocked any more
    ended.process.kill(SIGTERM);
    CHECK(ended.end().signal == SIGTERM);
  }
  {
    Started dropped(options("true"));
    const pid_t pid = awaitExecve();
    dropped.process.close();
    awaitDeath(pid);
  }
  awaitNothingLeft(descriptors + 1);
}

void unit() {
  const size_t descriptors = countDescriptors();
  outputs();
  whatItIsGiven();
  whatItDoesNotInherit();
  niceness();
  failures();
  search();
  groups();
  awaitNothingLeft(descriptors);
  noDescriptors();
  awaitNothingLeft(descriptors);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  char made[] = "/tmp/vmic-process-XXXXXX";
  CHECK(::mkdtemp(made) != nullptr);
  folder = made;
  std::atexit([] { (void)!std::system(("rm -r " + folder).c_str()); });
  if (mode == "unit") {
    unit();
  } else if (mode == "bare") {
    withoutStandardDescriptors();
  } else if (mode == "old") {
    forgetNewCalls();
    unit();
  } else if (mode == "hung") {
    hung();
  } else if (mode == "races" && argc == 4) {
    races(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));
  } else {
    std::fprintf(stderr, "usage: core_process unit | bare | old | hung | races COUNT SEED\n");
    return 2;
  }
  std::printf("%s: good\n", mode.c_str());
  return 0;
}
