/// umbractl against a FakeController with real TLS, as the user alice of role admin.
#pragma once

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <fstream>

#include "cli/fakes/fleet.hpp"
#include "cli/tests/process.hpp"
#include "rpc/fakes/test_fleet.hpp"

namespace umbra::cli::test {

class UmbractlTest : public testing::Test {
 protected:
  UmbractlTest() {
    // A configuration of its own, so that the machine's plays no part.
    std::filesystem::create_directories(fleet.directory() / "umbra");
    std::ofstream(fleet.directory() / "umbra/umbractl.toml") << "timeout = '10s'\n";
    environment = {{"XDG_CONFIG_HOME", fleet.directory().string()},
                   {"TZ", "UTC"},
                   {"TERM", "xterm"},
                   {"UMBRA_CONTROLLER", controller.address()}};
    become(alice);
  }

  void become(const rpc::TlsFiles& files) {
    environment["UMBRA_CA"] = files.ca;
    environment["UMBRA_CERT"] = files.certificate;
    environment["UMBRA_KEY"] = files.key;
  }

  std::vector<std::string> command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), umbractl_path());
    return arguments;
  }
  Ran run(std::vector<std::string> arguments) const {
    return Process(command(std::move(arguments)), environment).wait();
  }
  /// Runs with `-o json`, which must succeed with exactly one document.
  boost::json::value run_json(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"-o", "json"});
    const auto ran = run(std::move(arguments));
    EXPECT_EQ(ran.status, 0) << ran.err;
    return boost::json::parse(ran.out);
  }

  std::string write_file(const std::string& name, const std::string& text) const {
    const auto file = fleet.directory() / name;
    std::ofstream(file) << text;
    return file.string();
  }

  rpc::TestFleet fleet;
  FakeController controller{fleet.node(v1::ROLE_CONTROLLER, "controller1")};
  rpc::TlsFiles alice = fleet.issue({v1::ROLE_ADMIN, "alice", {}});
  Process::Environment environment;
};

}  // namespace umbra::cli::test
