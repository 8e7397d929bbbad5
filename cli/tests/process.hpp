/// Running umbractl itself, as a user would.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace umbra::cli::test {

/// What a finished process left.
struct Ran {
  int status = -1;
  std::string out;
  std::string err;
};

/// A child with pipes for its output. It cannot outlive the test: the kernel kills it when the test's thread goes.
class Process {
 public:
  using Environment = std::map<std::string, std::string>;
  /// @param stderr_on_terminal gives it a pseudo-terminal as standard error
  /// @param stdout_on_terminal gives it one as standard output, which is its standard input too
  Process(std::vector<std::string> command, const Environment& environment, bool stderr_on_terminal = false,
          bool stdout_on_terminal = false);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  /// The next line of its standard output; waits for it.
  std::string read_line();
  /// Types on its terminal.
  void type(std::string_view text) const;
  /// Reads its standard output up to and with this text. @return all of it
  std::string read_until(std::string_view text);
  void signal(int number) const;
  /// Waits for its end and for the rest of its output.
  Ran wait();

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
};

/// The umbractl that was built with this test.
std::filesystem::path umbractl_path();

}  // namespace umbra::cli::test
