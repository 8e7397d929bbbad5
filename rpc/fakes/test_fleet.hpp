/// A fleet's certificates in a temporary directory, for tests that want real TLS.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include "base/temporary_directory.hpp"
#include "rpc/pki.hpp"
#include "rpc/tls.hpp"

namespace umbra::rpc {

/// Throws where a test could not go on anyway. Removes the directory at the end.
class TestFleet {
 public:
  TestFleet() { must(pki::create_ca(directory(), "test")); }
  TestFleet(const TestFleet&) = delete;
  TestFleet& operator=(const TestFleet&) = delete;

  const std::filesystem::path& directory() const { return directory_.path(); }

  TlsFiles issue(const pki::Subject& subject, std::chrono::hours validity = pki::kNodeValidity,
                 std::chrono::system_clock::time_point from = std::chrono::system_clock::now()) const {
    const auto files = must(pki::issue(directory(), subject, directory() / role_name(subject.role), validity, from));
    return {pki::ca_files(directory()).certificate, files.certificate, files.key};
  }
  /// Credentials of a node that also answers to 127.0.0.1 and ::1.
  Tls node(v1::Role role, const std::string& name) const {
    return must(Tls::load(issue({role, name, {"127.0.0.1", "::1"}})));
  }

 private:
  template <class T>
  static T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().text());
    return std::move(*result);
  }

  TemporaryDirectory directory_ = must(TemporaryDirectory::make("umbra-fleet-"));
};

}  // namespace umbra::rpc
