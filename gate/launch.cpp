#include "gate/launch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/subprocess.hpp"
#include "gate/sockets.hpp"

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;

constexpr auto kStart = 10s;

bool is_directory(const char* path) {
  struct stat there {};
  return ::lstat(path, &there) == 0 && S_ISDIR(there.st_mode);
}

bool has_template() {
  std::error_code error;
  for (const char* place : {"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"})
    if (std::filesystem::exists(std::filesystem::path(place) / "umbra-gate@.service", error)) return true;
  return false;
}

/// Beside the one that we are in, so that whoever ends all of that one's processes does not end us. A machine without a
/// writable cgroup2 has nobody who would.
void leave_cgroup() {
  std::ifstream mine("/proc/self/cgroup");
  std::string line;
  while (std::getline(mine, line)) {
    if (!line.starts_with("0::/")) continue;
    const auto parent = std::filesystem::path("/sys/fs/cgroup" + line.substr(3)).parent_path();
    const auto own = parent / fmt::format("umbra-gate-{}", ::getpid());
    std::error_code error;
    if (parent.string().starts_with("/sys/fs/cgroup") && std::filesystem::create_directory(own, error))
      std::ofstream(own / "cgroup.procs") << ::getpid() << std::flush;
    return;
  }
}

}  // namespace

Result<void> launch(const Launch& wanted) {
  Command command;
  if (is_directory("/run/systemd/system") && has_template()) {
    command.words = {"systemctl", "start", "--quiet",
                     fmt::format("umbra-gate@{}.service", wanted.control.filename().string())};
  } else {
    command.words = {wanted.program.string(), "--control",      wanted.control.string(),
                     "--log-level",           wanted.log_level, "--detach"};
    if (!wanted.log.empty()) command.words.insert(command.words.end(), {"--log", wanted.log.string()});
  }
  command.timeout = kStart;
  const std::atomic<bool> stop{false};
  UMBRA_TRY(const auto finished, run_command(command, stop));
  if (finished.status == 0) return {};
  return fail({Errc::kUnavailable,
               fmt::format("{} did not start: {}", wanted.program.string(),
                           finished.output.empty() ? fmt::format("status {}", finished.status) : finished.output),
               "is the package umbra-agentd installed whole?"});
}

Result<Detached> Detached::begin() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_error(Errc::kInternal, "a pipe"));
  const auto child = ::fork();
  if (child < 0) return fail(system_error(Errc::kInternal, "fork"));
  if (child > 0) {
    ::close(ends[1]);
    char word = 0;
    const bool ready = ::read(ends[0], &word, 1) == 1;
    ::_exit(ready ? 0 : 1);
  }
  ::close(ends[0]);
  ::setsid();
  leave_cgroup();
  Detached detached;
  detached.pipe_ = ends[1];
  return detached;
}

void Detached::ready(const std::filesystem::path& log) {
  const Descriptor output(
      ::open(log.empty() ? "/dev/null" : log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  for (const int standard : {STDOUT_FILENO, STDERR_FILENO})
    if (output) ::dup2(output.get(), standard);
  const char word = 1;
  static_cast<void>(::write(pipe_, &word, 1));
  ::close(pipe_);
}

}  // namespace umbra::gate
