/// Programs that a test starts, waits for with a deadline, and never leaves behind.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace umbra::test {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

struct Done {
  int status = -1;  ///< exit status; 128 + N when signal N ended it
  std::string out;
  std::string err;
};

/// One running program. Its destructor kills it if it still runs.
class Child {
 public:
  /// @throws std::system_error the program cannot be started
  explicit Child(const Words& words);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// SIGTERM: probes and sessions then end and report.
  void terminate();
  /// Waits for its end. @throws std::runtime_error after `deadline`; it is killed then
  Done finish(std::chrono::milliseconds deadline = 60s);

 private:
  bool ended(int options);

  std::string what_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> out_, err_;
  ::pid_t pid_ = -1;
  int wait_status_ = 0;
};

Done run(const Words& words, std::chrono::milliseconds deadline = 60s);

}  // namespace umbra::test
