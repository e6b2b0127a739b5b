#include "guard/pool.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace vmic::guard {
namespace {

/// Above PTHREAD_STACK_MIN everywhere; openSuperblock needs the most, two paths.
constexpr size_t kStackBytes = 128 * 1024;

class Lock {
 public:
  explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) { ::pthread_mutex_lock(&mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() { ::pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t& mutex_;
};

Failure prepare(Target& target) {
  if (const Failure failure = openSuperblock(target.device, target.fd)) return failure;
  return writeOut(target.fd.get());
}

Failure freezeTarget(Target& target) {
  // Before the call: killed right after it, nobody is left to say that it is frozen.
  target.setState(State::Begun);
  const Failure failure = freeze(target.fd.get());
  target.frozenNs = nowNs();
  target.setState(!failure ? State::Frozen : failure.code == EBUSY ? State::Theirs : State::Failed);
  return failure;
}

Failure thawTarget(Target& target) {
  const Failure failure = thaw(target.fd.get());
  target.thawedNs = nowNs();
  if (!failure) target.setState(State::Thawed);
  if (failure.code == EINVAL) target.setState(State::ThawedByOthers);
  return failure;
}

Failure run(Target& target, Work work) {
  switch (work) {
    case Work::Open:
      return openSuperblock(target.device, target.fd);
    case Work::Prepare:
      return prepare(target);
    case Work::Freeze:
      return freezeTarget(target);
    case Work::Thaw:
      return thawTarget(target);
  }
  return {EINVAL, "work"};
}

}  // namespace

Failure Pool::start(const Targets& targets) {
  done_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!done_) return {errno, "eventfd"};
  // Each target is at most once in the queue.
  room_ = targets.count;
  queue_ = static_cast<Job*>(std::calloc(room_, sizeof(Job)));
  if (queue_ == nullptr) return {ENOMEM, "calloc"};
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, kStackBytes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const size_t threads = std::min(targets.count, kMaxThreads);
  for (size_t i = 0; i < threads; ++i) {
    pthread_t thread;
    if (const int code = ::pthread_create(&thread, &attributes, enter, this))
      return {code, "pthread_create"};
  }
  return {};
}

void Pool::post(Target& target, Work work) {
  Lock lock(mutex_);
  target.busy = true;
  target.failure = {};
  queue_[(head_ + length_) % room_] = {&target, work};
  ++length_;
  ::pthread_cond_signal(&posted_);
}

bool Pool::abandon(Target& target) {
  Lock lock(mutex_);
  if (target.busy) target.abandoned = true;
  return target.busy;
}

bool Pool::isBusy(const Target& target) {
  Lock lock(mutex_);
  return target.busy;
}

void* Pool::enter(void* self) {
  static_cast<Pool*>(self)->work();
  return nullptr;
}

void Pool::work() {
  Lock lock(mutex_);
  for (;;) {
    while (length_ == 0) ::pthread_cond_wait(&posted_, &mutex_);
    const Job job = queue_[head_];
    head_ = (head_ + 1) % room_;
    --length_;
    perform(job);
    job.target->busy = false;
    const uint64_t one = 1;
    // Fails only when the counter is full, and then it is readable anyway.
    if (::write(done_.get(), &one, sizeof(one)) < 0) continue;
  }
}

void Pool::perform(const Job& job) {
  Target& target = *job.target;
  if (job.work != Work::Thaw && target.abandoned) {
    target.failure = {ECANCELED, ""};
    return;
  }
  ::pthread_mutex_unlock(&mutex_);
  const Failure failure = run(target, job.work);
  ::pthread_mutex_lock(&mutex_);
  target.failure = failure;
  if (job.work != Work::Freeze || failure || !target.abandoned) return;
  ::pthread_mutex_unlock(&mutex_);
  const Failure late = thawTarget(target);
  ::pthread_mutex_lock(&mutex_);
  target.failure = late;
}

}  // namespace vmic::guard
