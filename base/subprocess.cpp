#include "base/subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/descriptor.hpp"

namespace umbra {
namespace {

using namespace std::chrono_literals;
using Time = std::chrono::steady_clock;

constexpr auto kLook = 50ms;

struct Actions {
  Actions() { ::posix_spawn_file_actions_init(&value); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&value); }
  posix_spawn_file_actions_t value{};
};
struct Attributes {
  Attributes() { ::posix_spawnattr_init(&value); }
  ~Attributes() { ::posix_spawnattr_destroy(&value); }
  posix_spawnattr_t value{};
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

Result<pid_t> spawn(const Command& command, int output) {
  Actions actions;
  ::posix_spawn_file_actions_addopen(&actions.value, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions.value, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions.value, output, STDERR_FILENO);
  // Libraries open sockets that a child would inherit: one that outlives this process would keep its ports.
  ::posix_spawn_file_actions_addclosefrom_np(&actions.value, STDERR_FILENO + 1);
  Attributes attributes;
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes.value, &all);
  ::posix_spawnattr_setsigmask(&attributes.value, &none);
  ::posix_spawnattr_setpgroup(&attributes.value, 0);
  ::posix_spawnattr_setflags(&attributes.value, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  auto words = command.words;
  std::vector<std::string> environment{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const auto& [name, value] : command.variables) environment.push_back(name + "=" + value);
  auto arguments = pointers(words), variables = pointers(environment);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, words.front().c_str(), &actions.value, &attributes.value, arguments.data(),
                                    variables.data());
  if (failed != 0)
    return fail({failed == ENOENT ? Errc::kNotFound : Errc::kUnavailable,
                 fmt::format("cannot run {}: {}", words.front(), std::strerror(failed)),
                 "give its whole path, and let the daemon's user run it"});
  return pid;
}

/// Reads what is there. @return false at the end
bool drain(int descriptor, std::string& output, std::size_t most) {
  char buffer[4096];
  const auto count = ::read(descriptor, buffer, sizeof buffer);
  if (count > 0) output.append(buffer, std::min(static_cast<std::size_t>(count), most - std::min(most, output.size())));
  return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

}  // namespace

Result<Finished> run_command(const Command& command, const std::atomic<bool>& stop) {
  if (command.words.empty()) return fail(Errc::kInvalid, "no command is given");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::kExhausted, "no pipe: {}", std::strerror(errno));
  const Descriptor read_end(ends[0]);
  Descriptor write_end(ends[1]);
  UMBRA_TRY(const auto pid, spawn(command, write_end.get()));
  write_end = Descriptor();
  Finished finished;
  const auto end = Time::now() + command.timeout;
  bool more = true;
  while (true) {
    pollfd watched{read_end.get(), POLLIN, 0};
    if (more && ::poll(&watched, 1, static_cast<int>(kLook.count())) > 0)
      more = drain(read_end.get(), finished.output, command.most_output);
    int status = 0;
    // A child of the program may hold the pipe open; the program's own end is what counts.
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      ::kill(-pid, SIGKILL);
      while (more && ::poll(&watched, 1, 0) > 0) more = drain(read_end.get(), finished.output, command.most_output);
      finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      return finished;
    }
    const bool late = Time::now() >= end;
    if (late || stop) {
      ::kill(-pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      if (!late) return fail(Errc::kCancelled, "{} was stopped", command.words.front());
      return fail(Errc::kTimeout, "{} did not end within {} ms, and was killed", command.words.front(),
                  command.timeout.count());
    }
    if (!more) ::poll(nullptr, 0, static_cast<int>(kLook.count()));
  }
}

}  // namespace umbra
