#include "qmp/throwaway.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

extern char** environ;

namespace umbra::qmp {
namespace {

constexpr int kMonitorFd = 3;  // in the child

struct FileActions {
  posix_spawn_file_actions_t actions;
  FileActions() { posix_spawn_file_actions_init(&actions); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions); }
};

std::vector<std::string> command_line(const std::string& emulator, const std::vector<std::string>& extra) {
  // Emulation first: a proof must not depend on /dev/kvm; KVM for builds of QEMU that have nothing else.
  std::vector<std::string> words{emulator,      "-accel",
                                 "tcg",         "-accel",
                                 "kvm",         "-machine",
                                 "q35",         "-m",
                                 "32",          "-no-user-config",
                                 "-nodefaults", "-display",
                                 "none",        "-S",
                                 "-chardev",    "socket,id=monitor,fd=" + std::to_string(kMonitorFd),
                                 "-mon",        "chardev=monitor,mode=control"};
  words.insert(words.end(), extra.begin(), extra.end());
  return words;
}

}  // namespace

Result<std::unique_ptr<Throwaway>> Throwaway::start(const std::string& emulator, const std::filesystem::path& directory,
                                                    const std::string& name, const std::vector<std::string>& extra) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Errc::kInternal, "socketpair: {}", std::strerror(errno));
  const auto log = directory / (name + ".log");

  FileActions files;
  posix_spawn_file_actions_addopen(&files.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files.actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files.actions, 1, 2);
  posix_spawn_file_actions_adddup2(&files.actions, ends[1], kMonitorFd);
  posix_spawn_file_actions_addclosefrom_np(&files.actions, kMonitorFd + 1);

  auto words = command_line(emulator, extra);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, emulator.c_str(), &files.actions, nullptr, arguments.data(), environ);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return fail({error == ENOENT || error == EACCES ? Errc::kNotFound : Errc::kInternal,
                 fmt::format("cannot start {}: {}", emulator, std::strerror(error)), "install QEMU on this host"});
  }
  return std::unique_ptr<Throwaway>(new Throwaway(pid, ends[0], log));
}

Throwaway::~Throwaway() {
  kill();
  if (monitor_ >= 0) ::close(monitor_);
}

int Throwaway::take_monitor() {
  return std::exchange(monitor_, -1);
}

void Throwaway::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

std::string Throwaway::printed() const {
  std::ostringstream text;
  text << std::ifstream(log_).rdbuf();
  return text.str();
}

}  // namespace umbra::qmp
