// A libvirtd of the test's own, in namespaces, see private_libvirtd.sh. Needs root.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/temporary_directory.hpp"

namespace umbra::virt {

class PrivateLibvirtd {
 public:
  /// Throws when it cannot be started: a test without it has failed.
  PrivateLibvirtd();
  PrivateLibvirtd(const PrivateLibvirtd&) = delete;
  ~PrivateLibvirtd();

  std::string uri() const;
  void start() { tell("start"); }
  /// SIGKILL; the QEMUs live on.
  void kill() { tell("kill"); }
  void pause() { tell("pause"); }
  void resume() { tell("continue"); }
  /// SIGSTOP to the QEMU of the domain of that name, and SIGCONT.
  void freeze(const std::string& name) { tell("freeze " + name); }
  void thaw(const std::string& name) { tell("thaw " + name); }

 private:
  void tell(const std::string& command);

  TemporaryDirectory directory_;
  pid_t pid_ = 0;
  int commands_ = -1, answers_ = -1;
};

}  // namespace umbra::virt
