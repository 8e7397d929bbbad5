/// A QEMU process of our own, for a proof or a test; it lives as long as its object.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace umbra::qmp {

/// One emulator process with a QMP monitor. Killed and reaped by pid in the destructor, which takes a few milliseconds.
class Throwaway {
 public:
  /// Starts `emulator` with a tiny paused machine (firmware only, no devices, 32 MiB), `extra` arguments, and a
  /// monitor. What it prints goes to `directory`/`name`.log.
  /// @error kNotFound no such emulator; kInternal
  static Result<std::unique_ptr<Throwaway>> start(const std::string& emulator, const std::filesystem::path& directory,
                                                  const std::string& name, const std::vector<std::string>& extra);
  Throwaway(const Throwaway&) = delete;
  Throwaway& operator=(const Throwaway&) = delete;
  ~Throwaway();

  /// Our end of the monitor's socket, for UnixTransport::adopt; once.
  int take_monitor();
  pid_t pid() const { return pid_; }
  /// SIGKILL, and waits until it is gone.
  void kill();
  /// What it has printed so far: the reason why it went, when it did.
  std::string printed() const;

 private:
  Throwaway(pid_t pid, int monitor, std::filesystem::path log) : pid_(pid), monitor_(monitor), log_(std::move(log)) {}

  pid_t pid_;
  int monitor_;
  std::filesystem::path log_;
};

}  // namespace umbra::qmp
