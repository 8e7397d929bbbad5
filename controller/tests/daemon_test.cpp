// umbra-controllerd itself: what --check looks at, and that SIGHUP reloads.
#include <signal.h>
#include <sysexits.h>

#include <fstream>

#include "cli/tests/process.hpp"
#include "controller/tests/live_fleet.hpp"

namespace umbra::controller {
namespace {

using cli::test::Process;
using testing::HasSubstr;

class Daemon : public testing::Test {
 protected:
  std::string configure(const rpc::TlsFiles& files, const std::string& name) {
    const auto file = (fleet.directory() / "controllerd.toml").string();
    std::ofstream(file) << fmt::format(
        "[controller]\nname = '{}'\nstate_dir = '{}'\n[listen]\nendpoint = '127.0.0.1:0'\n"
        "[tls]\nca = '{}'\ncertificate = '{}'\nkey = '{}'\n",
        name, (fleet.directory() / "state").string(), files.ca.string(), files.certificate.string(),
        files.key.string());
    if (!files.crl.empty()) std::ofstream(file, std::ios::app) << fmt::format("crl = '{}'\n", files.crl.string());
    return file;
  }
  cli::test::Ran check(const rpc::TlsFiles& files, const std::string& name = "controller") {
    return Process({UMBRA_CONTROLLERD, "--check", "-c", configure(files, name)}, {}).wait();
  }

  rpc::TestFleet fleet;
  rpc::TlsFiles good = fleet.issue({v1::ROLE_CONTROLLER, "controller", {"127.0.0.1"}});
};

TEST_F(Daemon, PrintsItsConfigurationWithoutCertificates) {
  auto files = good;
  files.key = fleet.directory() / "nowhere.key";
  const auto file = configure(files, "controller");
  const auto ran = Process({UMBRA_CONTROLLERD, "--print-config", "-c", file}, {}).wait();
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("name = \"controller\"  # " + file + ":2\n"));
  EXPECT_THAT(ran.out, HasSubstr("tick = \"5s\"  # "));
  std::ofstream(file, std::ios::app) << "nonsense = 1\n";
  const auto refused = Process({UMBRA_CONTROLLERD, "--print-config", "-c", file}, {}).wait();
  EXPECT_EQ(refused.status, EX_CONFIG);
  EXPECT_THAT(refused.err, HasSubstr("unknown key tls.nonsense"));
}

TEST_F(Daemon, CheckLooksAtTheCertificates) {
  using std::chrono::days;
  EXPECT_EQ(check(good).status, 0);
  const auto expect_refused = [&](const rpc::TlsFiles& files, const std::string& name, const std::string& why) {
    const auto ran = check(files, name);
    EXPECT_EQ(ran.status, EX_CONFIG) << why;
    EXPECT_THAT(ran.err, HasSubstr(why));
  };
  expect_refused(good, "other", "the certificate is controller's, but [controller] name is other");
  auto files = good;
  files.key = fleet.directory() / "nowhere.key";
  expect_refused(files, "controller", "does not exist");
  files.key = fleet.issue({v1::ROLE_CONTROLLER, "another"}).key;
  expect_refused(files, "controller", "does not belong to the certificate");
  expect_refused(fleet.issue({v1::ROLE_AGENT, "controller"}), "controller", "has the role agent");
  const auto now = std::chrono::system_clock::now();
  expect_refused(fleet.issue({v1::ROLE_CONTROLLER, "old"}, days(1), now - days(3)), "old", "expired on");
  expect_refused(fleet.issue({v1::ROLE_CONTROLLER, "early"}, days(1), now + days(3)), "early", "is not valid before");
  files = good;
  files.ca = rpc::pki::ca_files(rpc::TestFleet().directory()).certificate;
  expect_refused(files, "controller", "does not exist");  // that fleet is gone
  const rpc::TestFleet other;
  files.ca = rpc::pki::ca_files(other.directory()).certificate;
  expect_refused(files, "controller", "not signed by this fleet's CA");
  files = good;
  const auto revoked = rpc::pki::revoke(fleet.directory(), "controller");
  ASSERT_TRUE(revoked) << revoked.error().text();
  files.crl = rpc::pki::crl_file(fleet.directory());
  expect_refused(files, "controller", "the certificate is revoked");

  const auto soon = check(fleet.issue({v1::ROLE_CONTROLLER, "soon"}, days(5)), "soon");
  EXPECT_EQ(soon.status, 0) << "a warning";
  EXPECT_THAT(soon.err, HasSubstr("soon.crt expires on 20"));
}

TEST_F(Daemon, SighupReloadsAndEndsNothing) {
  Process daemon({"/bin/bash", "-c", "exec \"$0\" -c \"$1\" 2>&1", UMBRA_CONTROLLERD, configure(good, "controller")},
                 {});
  const auto wait_for = [&](const std::string& what) {
    std::string line;
    do line = daemon.read_line();
    while (line.find(what) == std::string::npos && !line.empty());
    return line;
  };
  EXPECT_THAT(wait_for("listens on"), HasSubstr("127.0.0.1"));
  daemon.signal(SIGHUP);
  EXPECT_THAT(wait_for("read again"), HasSubstr("are what they were: controller controller, valid until"));
  ASSERT_TRUE(rpc::pki::renew(fleet.directory(), {good.certificate, good.key}));
  daemon.signal(SIGHUP);
  EXPECT_THAT(wait_for("new certificates"), HasSubstr("the controller has new certificates: controller controller"));
  std::ofstream(good.certificate) << "nonsense";
  daemon.signal(SIGHUP);
  EXPECT_THAT(wait_for("cannot be used"), HasSubstr("stay in force"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().status, 0);
}

}  // namespace
}  // namespace umbra::controller
