/// Running another program and waiting for it.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace umbra {

struct Finished {
  int status = 0;      ///< its exit status; 128 + the signal's number when a signal ended it
  std::string output;  ///< what it wrote on stdout and stderr, the first `most_output` bytes of it
};

struct Command {
  std::vector<std::string> words;  ///< the program, found by PATH, and its arguments; no shell reads them
  std::vector<std::pair<std::string, std::string>> variables{};  ///< beside PATH: all of its environment
  std::chrono::milliseconds timeout{30'000};
  std::size_t most_output = 4096;
};

/// Blocks; to be called on a thread that may. The program has a process group of its own, no input, none of this
/// process's files, and no signal ignored. When the time is up, or `stop` becomes true, all of its group is killed.
/// @error kNotFound there is no such program; kTimeout; kCancelled `stop` was set
Result<Finished> run_command(const Command& command, const std::atomic<bool>& stop);

}  // namespace umbra
