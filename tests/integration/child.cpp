#include "tests/integration/child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <system_error>
#include <thread>

namespace umbra::test {
namespace {

std::string text_of(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int letter = std::fgetc(file); letter != EOF; letter = std::fgetc(file)) text += static_cast<char>(letter);
  return text;
}

}  // namespace

Child::Child(const Words& words) : out_(std::tmpfile(), &std::fclose), err_(std::tmpfile(), &std::fclose) {
  std::vector<char*> argv;
  for (const auto& word : words) {
    what_ += word + " ";
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  ::posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(out_.get()), 1);
  ::posix_spawn_file_actions_adddup2(&actions, ::fileno(err_.get()), 2);
  const int error = ::posix_spawnp(&pid_, argv.front(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), what_);
}

Child::~Child() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ended(0);
}

bool Child::ended(int options) {
  if (pid_ >= 0 && ::waitpid(pid_, &wait_status_, options) == pid_) pid_ = -1;
  return pid_ < 0;
}

void Child::terminate() {
  if (!ended(WNOHANG)) ::kill(pid_, SIGTERM);
}

Done Child::finish(std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!ended(WNOHANG)) {
    if (std::chrono::steady_clock::now() >= end) {
      ::kill(pid_, SIGKILL);
      ended(0);
      throw std::runtime_error(what_ + "did not end in time: " + text_of(out_.get()) + text_of(err_.get()));
    }
    std::this_thread::sleep_for(20ms);
  }
  const int status = WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : 128 + WTERMSIG(wait_status_);
  return {status, text_of(out_.get()), text_of(err_.get())};
}

Done run(const Words& words, std::chrono::milliseconds deadline) {
  return Child(words).finish(deadline);
}

}  // namespace umbra::test
