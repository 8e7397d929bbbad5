#include "cli/tests/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

namespace umbra::cli::test {
namespace {

struct Ends {
  int ours = -1;
  int theirs = -1;
};

Ends make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  return {fds[0], fds[1]};
}

Ends make_terminal() {
  Ends ends;
  const winsize size{24, 120, 0, 0};
  if (::openpty(&ends.ours, &ends.theirs, nullptr, nullptr, &size) != 0) throw std::runtime_error("openpty failed");
  ::fcntl(ends.ours, F_SETFD, FD_CLOEXEC);
  ::fcntl(ends.theirs, F_SETFD, FD_CLOEXEC);
  return ends;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (auto& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// Reads what is there; false at the end. A pseudo-terminal ends with EIO.
bool read_some(int fd, std::string& into) {
  std::array<char, 4096> buffer{};
  const auto count = ::read(fd, buffer.data(), buffer.size());
  if (count <= 0) return false;
  into.append(buffer.data(), static_cast<std::size_t>(count));
  return true;
}

}  // namespace

Process::Process(std::vector<std::string> command, const Environment& environment, bool stderr_on_terminal,
                 bool stdout_on_terminal) {
  std::vector<std::string> settings;
  for (const auto& [name, value] : environment) settings.push_back(name + "=" + value);
  auto arguments = pointers(command);
  auto variables = pointers(settings);
  const auto out = stdout_on_terminal ? make_terminal() : make_pipe();
  const auto err = stderr_on_terminal ? make_terminal() : make_pipe();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {  // other threads are gone: only async-signal-safe calls from here
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (stdout_on_terminal) {
      ::setsid();
      ::ioctl(out.theirs, TIOCSCTTY, 0);
      ::dup2(out.theirs, STDIN_FILENO);
    }
    ::dup2(out.theirs, STDOUT_FILENO);
    ::dup2(err.theirs, STDERR_FILENO);
    ::execve(arguments.front(), arguments.data(), variables.data());
    ::_exit(127);
  }
  ::close(out.theirs);
  ::close(err.theirs);
  out_ = out.ours;
  err_ = err.ours;
}

Process::~Process() {
  ::close(out_);
  ::close(err_);
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string Process::read_line() {
  std::string line;
  for (char letter = 0; ::read(out_, &letter, 1) == 1 && letter != '\n';) line += letter;
  return line;
}

void Process::type(std::string_view text) const {
  if (::write(out_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("cannot type");
}

std::string Process::read_until(std::string_view text) {
  std::string all;
  for (char letter = 0; !all.ends_with(text) && ::read(out_, &letter, 1) == 1;) all += letter;
  return all;
}

void Process::signal(int number) const {
  ::kill(pid_, number);
}

Ran Process::wait() {
  Ran ran;
  std::array<pollfd, 2> open{pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  const std::array<std::string*, 2> texts{&ran.out, &ran.err};
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    ::poll(open.data(), open.size(), -1);
    for (std::size_t i = 0; i < open.size(); ++i)
      if (open[i].revents != 0 && !read_some(open[i].fd, *texts[i])) open[i].fd = -1;
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

std::filesystem::path umbractl_path() {
  return UMBRACTL_PATH;
}

}  // namespace umbra::cli::test
