// A machine's first certificate: the issuer, the request, the token, and the door.
#include "rpc/enrolment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "rpc/fakes/test_fleet.hpp"
#include "rpc/pki_request.hpp"

namespace umbra::rpc {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Issuer : public testing::Test {
 protected:
  TestFleet fleet;
  const std::filesystem::path root = fleet.directory();
  const std::filesystem::path issuer = root / "issuer";
  const std::filesystem::path bundle = root / "bundle.pem";

  void make() {
    const auto made = pki::create_issuer(root, "1", issuer);
    ASSERT_TRUE(made) << made.error().text();
    std::ofstream(bundle) << pki::trusted_by(root).value();
  }
  std::filesystem::path certified(const std::string& name, v1::Role role = v1::ROLE_AGENT) {
    const auto request = pki::make_request(pki::make_key().value()).value();
    const auto pem = pki::certify_request(issuer, request, {role, name});
    EXPECT_TRUE(pem) << pem.error().text();
    std::ofstream(root / (name + ".pem")) << pem.value();
    return root / (name + ".pem");
  }
};

TEST_F(Issuer, SignsNodesThatThoseBelieveWhoTrustTheFleet) {
  make();
  const auto identity = pki::verify(bundle, certified("host9"));
  ASSERT_TRUE(identity) << identity.error().text();
  EXPECT_EQ(identity->name, "host9");
  EXPECT_EQ(identity->role, v1::ROLE_AGENT);
  EXPECT_FALSE(pki::verify(pki::ca_files(root).certificate, root / "host9.pem")) << "who has not the issuer's";
}

TEST_F(Issuer, IsMadeOnceForADirectory) {
  make();
  EXPECT_EQ(pki::create_issuer(root, "1", issuer).error().code, Errc::kConflict);
}

TEST_F(Issuer, CannotMakeAnother) {
  make();
  const auto next = pki::create_issuer(issuer, "2", root / "second");
  ASSERT_FALSE(next);
  EXPECT_THAT(next.error().text(), HasSubstr("may sign nodes alone"));
}

TEST_F(Issuer, DoesNotCertifyAKeyThatWasRevoked) {
  make();
  const auto key = pki::make_key().value();
  const auto request = pki::make_request(key).value();
  ASSERT_TRUE(pki::certify_request(issuer, request, {v1::ROLE_AGENT, "host9"}));
  ASSERT_EQ(pki::revoke(issuer, "host9").value().size(), 1u);
  const auto again = pki::certify_request(issuer, request, {v1::ROLE_AGENT, "host9"});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
}

TEST_F(Issuer, RefusesWhatIsNoRequest) {
  make();
  for (const std::string& bad :
       {std::string("nonsense"), std::string(), std::string(20'000, 'x'),
        std::string("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")}) {
    const auto pem = pki::certify_request(issuer, bad, {v1::ROLE_AGENT, "host9"});
    ASSERT_FALSE(pem);
    EXPECT_EQ(pem.error().code, Errc::kInvalid);
  }
}

TEST(TokenText, IsReadAsItWasWritten) {
  TestFleet fleet;
  const auto tls = Tls::load(fleet.issue({v1::ROLE_CONTROLLER, "controller", {}})).value();
  const auto token = Token::make(tls).value();
  EXPECT_EQ(token.text().size(), 64u);
  const auto read = Token::parse(token.text());
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->secret, token.secret);
  EXPECT_EQ(read->pin, token.pin);
  for (const auto& bad :
       {std::string(), token.text().substr(1), token.text() + "x", std::string(64, '='), std::string(63, 'x') + "="})
    EXPECT_FALSE(Token::parse(bad)) << bad;
}

class Door : public testing::Test {
 protected:
  TestFleet fleet;
  asio::io_context io{1};
  Tls tls = Tls::load(fleet.issue({v1::ROLE_CONTROLLER, "controller", {}})).value();
  v1::EnrolRequest asked;
  int questions = 0;
  std::unique_ptr<EnrolmentDoor> door =
      EnrolmentDoor::listen(io.get_executor(), "127.0.0.1:0", tls,
                            [this](const v1::EnrolRequest& request, const std::string&) -> Result<v1::EnrolReply> {
                              asked = request;
                              if (++questions > 1) return fail({Errc::kDenied, "used before", "get another"});
                              v1::EnrolReply reply;
                              reply.set_name("host9");
                              return reply;
                            })
          .value();

  Result<Enrolled> ask(Token token, std::string address = {}, Deadline deadline = 5s) {
    if (address.empty()) address = fmt::format("127.0.0.1:{}", door->port());
    std::optional<Result<Enrolled>> answer;
    asio::co_spawn(io, enrol(io.get_executor(), std::move(address), std::move(token), "request", deadline),
                   [&](const std::exception_ptr&, Result<Enrolled> got) { answer = std::move(got); });
    while (!answer) io.run_one();
    return std::move(*answer);
  }
};

TEST_F(Door, AnswersWhoHasItsToken) {
  const auto token = Token::make(tls).value();
  const auto enrolled = ask(token);
  ASSERT_TRUE(enrolled) << enrolled.error().text();
  EXPECT_EQ(enrolled->reply.name(), "host9");
  EXPECT_EQ(enrolled->address, "127.0.0.1");
  EXPECT_EQ(asked.secret(), token.secret);
  EXPECT_EQ(asked.request(), "request");
}

TEST_F(Door, TellsWhyItRefuses) {
  const auto token = Token::make(tls).value();
  ASSERT_TRUE(ask(token));
  const auto refused = ask(token);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kDenied);
  EXPECT_THAT(refused.error().text(), HasSubstr("used before (get another)"));
}

TEST_F(Door, IsToldNothingWhenItIsNotTheTokens) {
  const auto other = Tls::load(fleet.issue({v1::ROLE_CONTROLLER, "other", {}})).value();
  const auto refused = ask(Token::make(other).value());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kDenied);
  EXPECT_THAT(refused.error().text(), HasSubstr("not the controller that gave out this token"));
  EXPECT_EQ(questions, 0);
}

TEST_F(Door, IsNotHeldOpenByOneThatSaysNothing) {
  // A listener that never answers: the newcomer gives up by itself.
  asio::ip::tcp::acceptor mute(io, {asio::ip::make_address("127.0.0.1"), 0});
  const auto late =
      ask(Token::make(tls).value(), fmt::format("127.0.0.1:{}", mute.local_endpoint().port()), Deadline{200});
  ASSERT_FALSE(late);
}

}  // namespace
}  // namespace umbra::rpc
