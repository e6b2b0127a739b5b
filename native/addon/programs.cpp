#include "addon/programs.h"

#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/error.h"

namespace vmic {
namespace {

constexpr int64_t kMaxOutputBytes = 64 * 1024 * 1024;

struct Made {
  Process process;
  Fd events;
  std::string file;
};

bool stringsArgument(const Napi::Value& value, std::vector<std::string>& strings) {
  if (!value.IsArray()) return false;
  const Napi::Array array = value.As<Napi::Array>();
  for (uint32_t at = 0; at < array.Length(); ++at) {
    std::string text;
    if (!pathArgument(array.Get(at), text)) return false;
    strings.push_back(std::move(text));
  }
  return true;
}

/// What is wrong, or null.
const char* readOptions(const Napi::Object& given, ProcessOptions& options) {
  std::vector<std::string> arguments;
  if (!stringsArgument(given.Get("args"), arguments)) return "args must be strings without NUL";
  options.arguments = {options.file};
  for (std::string& argument : arguments) options.arguments.push_back(std::move(argument));
  if (!stringsArgument(given.Get("env"), options.environment))
    return "env must be strings without NUL";
  int64_t number = 0;
  if (!integerArgument(given.Get("outputBytes"), 0, kMaxOutputBytes, number))
    return "outputBytes must be a count";
  options.outputBytes = static_cast<size_t>(number);
  const Napi::Value folder = given.Get("cwd");
  if (!folder.IsUndefined() && !pathArgument(folder, options.folder))
    return "cwd must be a string without NUL";
  const Napi::Value input = given.Get("input");
  Bytes bytes;
  if (!input.IsUndefined()) {
    if (!bytesArgument(input, bytes)) return "input must be a Uint8Array";
    options.input.assign(bytes.data, bytes.data + bytes.count);
  }
  const Napi::Value niceness = given.Get("niceness");
  if (!niceness.IsUndefined()) {
    if (!integerArgument(niceness, -20, 19, number)) return "niceness must be from -20 to 19";
    options.niceness = static_cast<int>(number);
  }
  return nullptr;
}

}  // namespace

void Program::define(Napi::Env env, Environment& environment) {
  environment.program = Napi::Persistent(
      DefineClass(env, "Program",
                  {InstanceAccessor<&Program::pid>("pid"), InstanceMethod<&Program::kill>("kill"),
                   InstanceMethod<&Program::close>("close")}));
}

Program::Program(const Napi::CallbackInfo& info)
    : ObjectWrap(info), Polled(Environment::of(info.Env()), info.Env()) {
  if (!info[0].IsExternal()) {
    throwType(info.Env(), "Program can't be constructed");
    return;
  }
  Made* made = info[0].As<Napi::External<Made>>().Data();
  process_ = std::move(made->process);
  fd_ = std::move(made->events);
  path_ = made->file;
  if (!begin(info.This().As<Napi::Object>(), info.Env().Undefined())) {
    shut();
    return;
  }
  onEvent_.set(info[1].As<Napi::Function>());
  onProgramEnd_.set(info[2].As<Napi::Function>());
}

Napi::Value Program::start(const Napi::CallbackInfo& info) {
  Made made;
  if (!pathArgument(info[0], made.file))
    return throwType(info.Env(), "file must be a string without NUL");
  if (!info[1].IsObject()) return throwType(info.Env(), "options must be an object");
  if (!info[2].IsFunction() || !info[3].IsFunction())
    return throwType(info.Env(), "startProgram takes two functions");
  ProcessOptions options;
  options.file = made.file;
  const char* wrong = readOptions(info[1].As<Napi::Object>(), options);
  if (info.Env().IsExceptionPending()) return Napi::Value();
  if (wrong != nullptr) return throwType(info.Env(), wrong);
  if (const Failure failure = Process::start(std::move(options), made.process, made.events)) {
    return throwFailure(info.Env(), failure, made.file);
  }
  return Environment::of(info.Env())
      .program.New({Napi::External<Made>::New(info.Env(), &made), info[2], info[3]});
}

Napi::Value Program::pid(const Napi::CallbackInfo& info) {
  const pid_t pid = started_ ? process_.pid() : 0;
  return pid > 0 ? Napi::Number::New(info.Env(), pid) : info.Env().Undefined();
}

Napi::Value Program::kill(const Napi::CallbackInfo& info) {
  int64_t signal = 0;
  if (!integerArgument(info[0], 1, SIGRTMAX, signal))
    return throwType(info.Env(), "signal must be its number");
  process_.kill(static_cast<int>(signal));
  return Napi::Value();
}

void Program::onReadable(bool) {
  uint64_t count = 0;
  (void)!::read(fd_.get(), &count, sizeof(count));
  const Napi::HandleScope scope(env_);
  // Keeps us alive past stopWatching
  const Napi::Object self = Value();
  const ProcessEnd* end = process_.end();
  // One that was not even started has an end only
  if (!started_ && (end == nullptr || !end->failure)) {
    started_ = true;
    onEvent_.call(env_, self, {Napi::Number::New(env_, process_.pid())});
    // Closed, or ended in between: then the end is told by the next event, or has been taken with
    // this one
    if (!isWatching()) return;
  }
  if (end == nullptr) return;
  const Napi::Object description = describe(*end);
  const Callback onProgramEnd = std::move(onProgramEnd_);
  stopWatching();
  onProgramEnd.call(env_, self, {description});
}

Napi::Object Program::describe(const ProcessEnd& end) {
  Napi::Object description = Napi::Object::New(env_);
  if (end.failure) {
    description.Set("reason", "error");
    description.Set("error", nativeError(env_, end.failure, end.failurePath));
    return description;
  }
  if (end.signal != 0) {
    description.Set("reason", "signal");
    description.Set("signal", Napi::Number::New(env_, end.signal));
  } else {
    description.Set("reason", "exit");
    description.Set("status", Napi::Number::New(env_, end.exitStatus));
  }
  description.Set("output", Napi::Buffer<uint8_t>::Copy(env_, end.output, end.outputBytes));
  description.Set("errors", Napi::Buffer<uint8_t>::Copy(env_, end.errors, end.errorsBytes));
  return description;
}

void Program::stopWatching() {
  Polled::stopWatching();
  onProgramEnd_.reset();
}

void Program::shut() {
  process_.close();
  Polled::shut();
}

Napi::Value Program::close(const Napi::CallbackInfo&) {
  shut();
  return Napi::Value();
}

}  // namespace vmic
