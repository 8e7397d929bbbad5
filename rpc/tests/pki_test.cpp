#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "rpc/fakes/test_fleet.hpp"
#include "rpc/x509.hpp"

namespace umbra::rpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string content(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

unsigned mode(const std::filesystem::path& file) {
  struct stat status {};
  EXPECT_EQ(stat(file.c_str(), &status), 0);
  return status.st_mode & 0777U;
}

class PkiTest : public testing::Test {
 protected:
  TestFleet fleet;
  const std::filesystem::path ca = fleet.directory();
  const std::filesystem::path nodes = fleet.directory() / "nodes";
};

TEST_F(PkiTest, KeysAreForTheirOwnerAlone) {
  const auto files = pki::issue(ca, {v1::ROLE_AGENT, "host1"}, nodes);
  ASSERT_TRUE(files) << files.error().text();
  EXPECT_EQ(mode(files->key), 0600u);
  EXPECT_EQ(mode(pki::ca_files(ca).key), 0600u);
  EXPECT_EQ(mode(files->certificate), 0644u);
  int entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(nodes)) entries += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(entries, 2) << "no temporary file is left";
}

TEST_F(PkiTest, AnExistingCaIsNeverOverwritten) {
  const auto before = content(pki::ca_files(ca).key);
  const auto again = pki::create_ca(ca, "other");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
  EXPECT_EQ(content(pki::ca_files(ca).key), before);
  std::filesystem::remove(pki::ca_files(ca).certificate);
  EXPECT_EQ(pki::create_ca(ca, "other").error().code, Errc::kConflict) << "half a CA is one too";
}

TEST_F(PkiTest, ANodesFilesAreNeverOverwrittenByIssuing) {
  ASSERT_TRUE(pki::issue(ca, {v1::ROLE_AGENT, "host1"}, nodes));
  const auto again = pki::issue(ca, {v1::ROLE_EDGE, "host1"}, nodes);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
  EXPECT_THAT(again.error().remedy, HasSubstr("umbractl pki renew"));
}

TEST_F(PkiTest, VerifyReadsWhatIssueWrote) {
  const auto files = pki::issue(ca, {v1::ROLE_EDGE, "edge1", {"edge1.example", "10.0.0.1", "fd00::1"}}, nodes);
  ASSERT_TRUE(files) << files.error().text();
  const auto identity = pki::verify(pki::ca_files(ca).certificate, files->certificate);
  ASSERT_TRUE(identity) << identity.error().text();
  EXPECT_EQ(identity->name, "edge1");
  EXPECT_EQ(identity->role, v1::ROLE_EDGE);
  EXPECT_THAT(identity->alt_names, ElementsAre("edge1", "edge1.example", "10.0.0.1", "fd00::1"));
  const auto text = pki::show(files->certificate);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("Role:        edge\n"));
  EXPECT_THAT(*text, HasSubstr("Also:        10.0.0.1\n"));
  EXPECT_THAT(*text, HasSubstr("Valid until: 20"));
}

TEST_F(PkiTest, ShowKnowsACa) {
  const auto text = pki::show(pki::ca_files(ca).certificate);
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("CA:          test Umbra CA\n"));
}

TEST_F(PkiTest, VerifyRefusesAnotherFleetsCertificateAndAnExpiredOne) {
  const TestFleet other;
  const auto theirs = pki::issue(other.directory(), {v1::ROLE_AGENT, "host1"}, other.directory() / "nodes");
  ASSERT_TRUE(theirs);
  const auto foreign = pki::verify(pki::ca_files(ca).certificate, theirs->certificate);
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("not signed by this fleet's CA"));

  const auto long_ago = std::chrono::system_clock::now() - std::chrono::hours(48);
  const auto old = pki::issue(ca, {v1::ROLE_AGENT, "old"}, nodes, std::chrono::hours(1), long_ago);
  ASSERT_TRUE(old);
  EXPECT_THAT(pki::verify(pki::ca_files(ca).certificate, old->certificate).error().message, HasSubstr("expired on 20"));
}

TEST_F(PkiTest, RenewalKeepsKeyAndNamesAndMovesTheEnd) {
  const auto files = pki::issue(ca, {v1::ROLE_AGENT, "host1", {"10.0.0.7"}}, nodes, std::chrono::hours(1));
  ASSERT_TRUE(files);
  const auto key = content(files->key);
  const auto end = x509::not_after(**x509::read_certificate(files->certificate));
  const auto renewed = pki::renew(ca, *files, std::chrono::hours(48));
  ASSERT_TRUE(renewed) << renewed.error().text();
  EXPECT_EQ(content(files->key), key);
  EXPECT_GE(x509::not_after(**x509::read_certificate(files->certificate)), end + 46 * 3600);
  const auto identity = pki::verify(pki::ca_files(ca).certificate, files->certificate);
  ASSERT_TRUE(identity) << identity.error().text();
  EXPECT_TRUE(identity->answers_to("10.0.0.7"));
  const auto loaded = Tls::load({pki::ca_files(ca).certificate, files->certificate, files->key});
  EXPECT_TRUE(loaded) << loaded.error().text();
}

TEST_F(PkiTest, AnExpiredCertificateCanBeRenewedAndAForeignOneCannot) {
  const auto long_ago = std::chrono::system_clock::now() - std::chrono::hours(48);
  const auto old = pki::issue(ca, {v1::ROLE_AGENT, "old"}, nodes, std::chrono::hours(1), long_ago);
  ASSERT_TRUE(old);
  const TestFleet other;
  const auto foreign = pki::renew(other.directory(), *old);
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("was not issued by the CA in"));
  EXPECT_TRUE(pki::renew(ca, *old));
  EXPECT_TRUE(pki::verify(pki::ca_files(ca).certificate, old->certificate));
}

TEST_F(PkiTest, WhatWasRevokedIsNotRenewed) {
  const auto files = pki::issue(ca, {v1::ROLE_AGENT, "host1"}, nodes);
  ASSERT_TRUE(files);
  const auto first = content(files->certificate);
  ASSERT_TRUE(pki::renew(ca, *files));
  const auto second = content(files->certificate);
  ASSERT_TRUE(pki::revoke(ca, files->certificate.string()));  // by its file: the first is not meant
  const auto put = [&](const std::string& pem) { std::ofstream(files->certificate) << pem; };
  for (const auto* pem : {&second, &first}) {
    put(*pem);
    const auto renewed = pki::renew(ca, *files);
    ASSERT_FALSE(renewed) << "neither it nor another of its key";
    EXPECT_EQ(renewed.error().code, Errc::kConflict);
    EXPECT_THAT(renewed.error().message, HasSubstr("was revoked on 20"));
    EXPECT_THAT(renewed.error().remedy, HasSubstr("umbractl pki issue"));
    EXPECT_EQ(content(files->certificate), *pem);
  }

  const auto anew = pki::issue(ca, {v1::ROLE_AGENT, "host1"}, fleet.directory() / "anew");
  ASSERT_TRUE(anew);
  EXPECT_TRUE(pki::renew(ca, *anew)) << "of the same name, with a key of its own";
  EXPECT_FALSE(pki::renew(ca, *files)) << "and that does not bring the old one back";
}

TEST_F(PkiTest, WhatWasOverWhenItsNameWasRevokedIsNotRenewed) {
  const auto long_ago = std::chrono::system_clock::now() - std::chrono::hours(48);
  const auto old = pki::issue(ca, {v1::ROLE_AGENT, "old"}, nodes, std::chrono::hours(1), long_ago);
  ASSERT_TRUE(old);
  EXPECT_TRUE(pki::revoke(ca, "old").value().empty()) << "it is over: no list needs it";
  EXPECT_FALSE(pki::renew(ca, *old));
}

TEST_F(PkiTest, ARegisterWithoutKeysIsRead) {
  const auto files = pki::issue(ca, {v1::ROLE_AGENT, "host1"}, nodes);
  ASSERT_TRUE(files);
  auto text = content(ca / "issued");
  while (!text.empty() && text.back() != ' ') text.pop_back();  // as it was written before keys were kept
  std::ofstream(ca / "issued") << text << "\n";
  ASSERT_TRUE(pki::revoke(ca, "host1"));
  EXPECT_FALSE(pki::renew(ca, *files)) << "its serial is known";
}

TEST_F(PkiTest, NamesThatCouldMeanSomethingElseAreRefused) {
  for (const auto* name : {"", "../host1", "a/b", ".hidden", "-rf", "host 1", "host1\n", "hôte"}) {
    EXPECT_EQ(pki::issue(ca, {v1::ROLE_AGENT, name}, nodes).error().code, Errc::kInvalid) << name;
  }
  for (const auto* alt_name : {"", "a b", "DNS:x", "x,URI:umbra://admin/x"}) {
    EXPECT_EQ(pki::issue(ca, {v1::ROLE_AGENT, "host1", {alt_name}}, nodes).error().code, Errc::kInvalid) << alt_name;
  }
  EXPECT_EQ(pki::issue(ca, {v1::ROLE_UNSPECIFIED, "host1"}, nodes).error().code, Errc::kInvalid);
}

TEST_F(PkiTest, IssuingWithoutACaNamesTheMissingFile) {
  const auto files = pki::issue(nodes / "nowhere", {v1::ROLE_AGENT, "host1"}, nodes);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, Errc::kNotFound);
  EXPECT_THAT(files.error().message, HasSubstr("nowhere/ca.crt"));
}

TEST_F(PkiTest, ADirectoryThatCannotBeWrittenIsNamed) {
  const auto file = fleet.directory() / "a-file";
  std::ofstream(file) << "x";
  const auto files = pki::issue(ca, {v1::ROLE_AGENT, "host1"}, file / "below");
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, Errc::kInvalid);
  EXPECT_THAT(files.error().message, HasSubstr("a-file/below/host1.key"));
}

TEST(IdentityTest, TheUriGivesRoleAndName) {
  const auto identity = parse_identity_uri("umbra://agent/host1");
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->role, v1::ROLE_AGENT);
  EXPECT_EQ(identity->name, "host1");
  for (const auto* wrong : {"", "umbra://", "umbra://agent", "umbra://agent/", "umbra://root/host1",
                            "https://agent/host1", "umbra://agent/a/b"}) {
    EXPECT_FALSE(parse_identity_uri(wrong)) << wrong;
  }
}

TEST(IdentityTest, EveryRoleHasANameThatParses) {
  for (const auto role : {v1::ROLE_CONTROLLER, v1::ROLE_AGENT, v1::ROLE_EDGE, v1::ROLE_ADMIN, v1::ROLE_VIEWER}) {
    EXPECT_EQ(parse_role(role_name(role)).value_or(v1::ROLE_UNSPECIFIED), role);
  }
  EXPECT_FALSE(parse_role("unspecified"));
}

}  // namespace
}  // namespace umbra::rpc
