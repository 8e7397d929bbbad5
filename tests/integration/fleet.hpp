/// A lab with real guests (lab/README.md), as a test drives it.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>

#include "tests/integration/child.hpp"

namespace umbra::test {

/// Up from construction to destruction, under a name that no other lab has. Every failure of a command that a test
/// relies on throws std::runtime_error with what the command said, which fails the test. If a test of the suite failed,
/// the lab's logs stay in a new directory below /tmp.
class Fleet {
 public:
  /// @param options of `umbra-lab up`
  explicit Fleet(const Words& options = {});
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  /// Standard output of `umbra-lab WORDS`.
  std::string lab(Words words, std::chrono::milliseconds deadline = 120s) const;
  Words lab_words(Words words) const;

  /// umbractl as admin, which may fail.
  Done ctl(Words words, std::chrono::milliseconds deadline = 120s) const;
  /// umbractl with -o json, which must not.
  boost::json::value ask(Words words, std::chrono::milliseconds deadline = 120s) const;

  /// What umbractl lists: `hosts`, `vms`, `zones` or `shadows`.
  boost::json::array list(const std::string& what) const;
  bool host_usable(const std::string& name) const;                         ///< up, and its libvirtd answers
  bool serves(const std::string& node, const std::string& service) const;  ///< that daemon of the node runs

  /// A guest that checks its own memory; its address.
  std::string add_vm(const std::string& name, const std::string& host) const;
  /// The controller's view.
  boost::json::object vm(const std::string& name) const;
  /// "warm", "hot", …; empty without a shadow.
  std::string shadow_phase(const std::string& name) const;
  /// Waits until the shadow has been refreshed at a time after this call. @throws std::runtime_error it is not
  void await_refresh(const std::string& name) const;
  void keep(const std::string& name, const std::string& to, const std::string& tier = "warm") const;
  /// What the guest wrote on its console since it was added.
  std::string console(const std::string& name) const;
  /// Pages that the guest's canary found damaged.
  std::int64_t damage(const std::string& name) const;

  /// What libvirt on that host says: "running", "paused", "shut off", or "" when it does not know the domain.
  std::string domain(const std::string& host, const std::string& name) const;
  /// Process id of the VM's QEMU, or of its shadow's, as that host counts. @throws std::runtime_error there is none
  std::string qemu(const std::string& host, const std::string& name) const;
  std::string virsh(const std::string& host, Words words) const;
  std::string in(const std::string& node, Words words) const;  ///< `umbra-lab exec`
  /// The route that the node has to an address, without metrics and spaces at the end; empty: none.
  std::string route(const std::string& node, const std::string& address) const;

  /// Of the one lab that this process may have; what is put there goes with the lab.
  static std::string directory_of_this_process();
  /// Texts of the events since the lab's start, oldest first, that are of this kind; of one VM if it is named.
  std::vector<std::string> events(const std::string& kind, const std::string& vm = {}) const;

 private:
  std::string name_;
};

/// Probe and session through the edge, from construction to finish().
class Traffic {
 public:
  Traffic(const Fleet& fleet, const std::string& vm);
  struct Seen {
    std::int64_t sent = 0, lost = 0;
    bool session_survived = false;
    std::string error;  ///< of the session
  };
  Seen finish();

 private:
  Child probe_, session_;
};

/// Moves the VM to its shadow on that host without harm, and drops the operator's pin, which outlives the move.
void moves_whole(const Fleet& fleet, const std::string& vm, const std::string& to);

/// One of the lab's files with other content, for as long as this lives.
class Spoilt {
 public:
  Spoilt(std::string file, const std::string& content);
  ~Spoilt();
  Spoilt(const Spoilt&) = delete;
  Spoilt& operator=(const Spoilt&) = delete;

 private:
  std::string file_, right_;
};

std::string text_of(const std::string& file);

/// Looks until it is true. @throws std::runtime_error naming `what` after `deadline`
void await(const std::string& what, const std::function<bool()>& ready, std::chrono::milliseconds deadline = 60s);

}  // namespace umbra::test
