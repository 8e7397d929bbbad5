// Machines that join a live controller, and certificates that it renews.
#include "rpc/enrolment.hpp"
#include "controller/tests/live_fleet.hpp"
#include "rpc/pki_request.hpp"

namespace umbra::controller {
namespace {

using testing::HasSubstr;
namespace pki = rpc::pki;

class Enrolments : public LiveFleet {
 protected:
  Enrolments() {
    settings.enrolment = {fleet.directory() / "issuer", "127.0.0.1:0"};
    EXPECT_TRUE(pki::create_issuer(fleet.directory(), "1", settings.enrolment.issuer));
    std::ofstream(fleet.directory() / "trusted.pem") << pki::trusted_by(fleet.directory()).value();
    settings.tls.ca = fleet.directory() / "trusted.pem";
  }
  v1::InviteRequest invitation(const std::string& name, Milliseconds valid = 1h) {
    v1::InviteRequest request;
    request.set_name(name);
    request.set_role(v1::ROLE_AGENT);
    request.set_zone("rack1");
    request.set_valid_ms(valid.count());
    return request;
  }
  Result<v1::InviteReply> invite(v1::InviteRequest request) { return ask(client().invite(std::move(request), 5s)); }
  Result<rpc::Enrolled> enrol(const v1::InviteReply& invited, std::string request) {
    auto token = rpc::Token::parse(invited.token()).value();
    return ask(rpc::enrol(io.get_executor(), fmt::format("127.0.0.1:{}", invited.port()), std::move(token),
                          std::move(request), 5s));
  }
};

TEST_F(Enrolments, ATokenBecomesACertificateOnce) {
  start_controller();
  const auto invited = invite(invitation("host9"));
  ASSERT_TRUE(invited) << invited.error().text();
  const auto key = pki::make_key().value();
  const auto request = pki::make_request(key).value();
  const auto enrolled = enrol(*invited, request);
  ASSERT_TRUE(enrolled) << enrolled.error().text();
  EXPECT_EQ(enrolled->reply.name(), "host9");
  EXPECT_EQ(enrolled->reply.zone(), "rack1");
  EXPECT_EQ(enrolled->reply.port(), controller->endpoint().port());

  // With what it got, it can speak to the controller, and have it renewed.
  const auto own = fleet.directory() / "host9";
  std::filesystem::create_directories(own);
  std::ofstream(own / "ca.pem") << enrolled->reply.ca();
  std::ofstream(own / "cert.pem") << enrolled->reply.certificate();
  std::ofstream(own / "key.pem") << key;
  auto tls = rpc::Tls::load({own / "ca.pem", own / "cert.pem", own / "key.pem", {}}, v1::ROLE_AGENT);
  ASSERT_TRUE(tls) << tls.error().text();
  auto session =
      ask(rpc::connect(io.get_executor(), settings.listen, *tls, rpc::Expect{"", v1::ROLE_CONTROLLER}, {}, 5s));
  ASSERT_TRUE(session) << session.error().text();
  v1::RenewCertificateRequest renewal;
  renewal.set_request(request);
  const auto renewed = ask(v1::RegistryClient(*session).renew_certificate(std::move(renewal), 5s));
  ASSERT_TRUE(renewed) << renewed.error().text();
  EXPECT_NE(renewed->certificate(), enrolled->reply.certificate());

  EXPECT_TRUE(enrol(*invited, request)) << "an answer may have been lost: the same key may ask again";
  const auto thief = enrol(*invited, pki::make_request(pki::make_key().value()).value());
  ASSERT_FALSE(thief);
  EXPECT_EQ(thief.error().code, Errc::kDenied);
  EXPECT_THAT(thief.error().text(), HasSubstr("used before, for host9"));
}

TEST_F(Enrolments, ATokenOutlivesARestartButNotItsTimeNorItsSuccessor) {
  start_controller();
  const auto request = pki::make_request(pki::make_key().value()).value();
  auto first = invite(invitation("host9")).value();
  restart_controller();
  first.set_port(invite(invitation("host8")).value().port());
  EXPECT_TRUE(enrol(first, request));
  const auto second = invite(invitation("host9")).value();
  EXPECT_EQ(enrol(first, request).error().code, Errc::kDenied);
  clock.set_wall(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + 2h);
  EXPECT_EQ(enrol(second, request).error().code, Errc::kDenied);
}

TEST_F(Enrolments, RefusesWhatMakesNoNode) {
  start_controller();
  auto admin_role = invitation("boss");
  admin_role.set_role(v1::ROLE_ADMIN);
  EXPECT_EQ(invite(admin_role).error().code, Errc::kInvalid);
  EXPECT_EQ(invite(invitation("../x")).error().code, Errc::kInvalid);
  EXPECT_EQ(invite(invitation("host9", 1s)).error().code, Errc::kInvalid);
  EXPECT_EQ(invite(invitation("host9", std::chrono::days(8))).error().code, Errc::kInvalid);
  auto& agent = add_node("host1", "a");
  agent.connect();
  until([&] { return core().inventory.node("host1") != nullptr && core().inventory.node("host1")->up; });
  const auto again = invite(invitation("host1"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kConflict);
}

TEST_F(Enrolments, NeedAnIssuerThatTheFleetTrusts) {
  settings.tls.ca = pki::ca_files(fleet.directory()).certificate;
  const auto started = Controller::start(io.get_executor(), settings, clock);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text(), HasSubstr("is not among the CAs in"));
}

TEST_F(Enrolments, WithoutAnIssuerNobodyIsInvited) {
  settings.enrolment.issuer.clear();
  start_controller();
  const auto refused = invite(invitation("host9"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
  EXPECT_THAT(refused.error().text(), HasSubstr("umbractl pki issuer"));
}

}  // namespace
}  // namespace umbra::controller
