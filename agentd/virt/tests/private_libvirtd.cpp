#include "agentd/virt/tests/private_libvirtd.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <vector>

extern char** environ;

namespace umbra::virt {

PrivateLibvirtd::PrivateLibvirtd() : directory_(TemporaryDirectory::make("umbra-lv-").value()) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  std::vector<std::string> words{"unshare",
                                 "--mount",
                                 "--net",
                                 "--uts",
                                 "--pid",
                                 "--fork",
                                 "--mount-proc",
                                 UMBRA_PRIVATE_LIBVIRTD,
                                 directory_.path().string(),
                                 UMBRA_LIBVIRT_CACHE};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in[0], 0);
  posix_spawn_file_actions_adddup2(&files, out[1], 1);
  const int error = ::posix_spawnp(&pid_, "unshare", &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  ::close(in[0]);
  ::close(out[1]);
  commands_ = in[1];
  answers_ = out[0];
  if (error != 0) throw std::runtime_error("unshare cannot be started");
  start();
}

PrivateLibvirtd::~PrivateLibvirtd() {
  ::close(commands_);  // ends the script, and with it the process namespace
  ::waitpid(pid_, nullptr, 0);
  ::close(answers_);
}

std::string PrivateLibvirtd::uri() const {
  return fmt::format("qemu+unix:///system?socket={}/run/libvirt/libvirt-sock", directory_.path().string());
}

void PrivateLibvirtd::tell(const std::string& command) {
  const auto line = command + "\n";
  char answer = 0;
  if (::write(commands_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::runtime_error(command);
  do {
    if (::read(answers_, &answer, 1) != 1) throw std::runtime_error("private libvirtd has ended at '" + command + "'");
  } while (answer != '\n');
}

}  // namespace umbra::virt
