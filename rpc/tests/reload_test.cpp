// Certificates, CAs and revocation lists that change under running nodes.
#include <gmock/gmock.h>

#include <fstream>

#include "rpc/tests/echo_service.hpp"
#include "rpc/tests/log_capture.hpp"
#include "rpc/tls_keeper.hpp"
#include "rpc/warrant.hpp"

namespace umbra::rpc::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::chrono::hours kADay{24};

std::string content_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}
void write_whole(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

class ReloadTest : public RpcTest {
 protected:
  /// Credentials in files of their own, with the fleet's revocation list.
  TlsFiles files_of(const TestFleet& of, v1::Role role, const std::string& name,
                    std::chrono::hours validity = pki::kNodeValidity) {
    const auto dir = fleet.directory() / "files" / name;
    const pki::Subject subject{role, name, {"127.0.0.1"}};
    const auto issued = pki::issue(of.directory(), subject, dir, validity);
    if (!issued) throw std::runtime_error(issued.error().text());
    const TlsFiles files{dir / "ca.pem", issued->certificate, issued->key, dir / "crl.pem"};
    fs::copy_file(pki::ca_files(of.directory()).certificate, files.ca);
    fs::copy_file(pki::crl_file(of.directory()), files.crl);
    return files;
  }
  static Tls load(const TlsFiles& files) {
    auto loaded = Tls::load(files);
    if (!loaded) throw std::runtime_error(loaded.error().text());
    return std::move(*loaded);
  }
  static void reload(Tls& tls) {
    const auto changed = tls.reload();
    ASSERT_TRUE(changed) << changed.error().text();
    EXPECT_TRUE(*changed);
  }
  asio::awaitable<void> expect_works(std::shared_ptr<Session> session) {
    EchoClient client(session);
    auto hello = text("hello");
    co_await get(client.say(std::move(hello), 5s));
  }
};

TEST_F(ReloadTest, NothingChangedIsNothingToDo) {
  auto tls = load(files_of(fleet, v1::ROLE_AGENT, "host1"));
  EXPECT_FALSE(tls.reload().value());
  EXPECT_THAT(tls.warnings(), IsEmpty());
}

TEST_F(ReloadTest, ARenewedCertificateIsShownAtTheNextConnectionAndOpenOnesStay) {
  const auto server_files = files_of(fleet, v1::ROLE_CONTROLLER, "controller1", 2 * kADay);
  controller = load(server_files);
  EXPECT_THAT(controller.warnings(), testing::ElementsAre(HasSubstr("controller1.crt expires on")));
  listen();
  run([&]() -> asio::awaitable<void> {
    const auto before = co_await get(dial(host1));
    EXPECT_TRUE(pki::renew(fleet.directory(), {server_files.certificate, server_files.key}));
    reload(controller);
    EXPECT_THAT(controller.warnings(), IsEmpty());
    const auto after = co_await get(dial(host1));
    EXPECT_GT(after->peer().not_after, before->peer().not_after);
    co_await expect_works(before);
    co_await expect_works(after);
  });
}

TEST_F(ReloadTest, AFailedReloadKeepsWhatWasInForce) {
  const auto files = files_of(fleet, v1::ROLE_CONTROLLER, "controller1");
  controller = load(files);
  listen();
  const auto certificate = content_of(files.certificate);
  const auto expect_kept = [&](Errc code, const std::string& why) {
    const auto changed = controller.reload();
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code, code) << changed.error().text();
    EXPECT_THAT(changed.error().message, HasSubstr(why));
    run([&]() -> asio::awaitable<void> {
      const auto session = co_await get(dial(host1));
      co_await expect_works(session);
    });
  };
  write_whole(files.certificate, "half a certif");
  expect_kept(Errc::kInvalid, "holds no PEM certificate");
  write_whole(files.certificate, content_of(fleet.issue({v1::ROLE_CONTROLLER, "other"}).certificate));
  expect_kept(Errc::kInvalid, "does not belong to the certificate");
  const auto agent = fleet.issue({v1::ROLE_AGENT, "controller1"});
  write_whole(files.certificate, content_of(agent.certificate));
  const auto key = content_of(files.key);
  write_whole(files.key, content_of(agent.key));
  expect_kept(Errc::kConflict, "this process runs as controller1 of role controller");
  write_whole(files.key, key);
  write_whole(files.certificate, certificate);
  fs::remove(files.crl);
  expect_kept(Errc::kNotFound, "revocation list");
}

TEST_F(ReloadTest, ARevokedPeerIsShutOutOnBothSidesAndItsConnectionEnds) {
  const auto server_files = files_of(fleet, v1::ROLE_CONTROLLER, "controller1");
  controller = load(server_files);
  auto good = load(files_of(fleet, v1::ROLE_AGENT, "host2"));
  listen();
  const LogCapture log;
  run([&]() -> asio::awaitable<void> {
    const auto stays = co_await get(dial(good));
    const auto goes = co_await get(dial(host1));
    const auto serials = pki::revoke(fleet.directory(), "host1");
    EXPECT_TRUE(serials);
    EXPECT_EQ(serials->size(), 1u);
    fs::copy_file(pki::crl_file(fleet.directory()), server_files.crl, fs::copy_options::overwrite_existing);
    reload(controller);
    co_await until([&] { return !goes->is_open(); });
    EXPECT_THAT(log.text(), HasSubstr("closing the connection to host1 (agent, 127.0.0.1:"));
    EXPECT_THAT(log.text(), HasSubstr("the certificate is revoked"));
    const auto refused = co_await get_error(dial(host1));
    EXPECT_EQ(refused.code, Errc::kDenied);
    EXPECT_THAT(refused.message, HasSubstr("it is revoked"));
    co_await until([&] { return log.text().find("(host1): the certificate is revoked") != std::string::npos; });
    EXPECT_TRUE(stays->is_open());
    co_await expect_works(stays);

    // The other way round: whoever dials looks at the list too.
    EXPECT_TRUE(pki::revoke(fleet.directory(), "controller1"));
    fs::copy_file(pki::crl_file(fleet.directory()), good.files().crl, fs::copy_options::overwrite_existing);
    reload(good);
    co_await until([&] { return !stays->is_open(); });
    const auto no_server = co_await get_error(dial(good));
    EXPECT_EQ(no_server.code, Errc::kDenied);
    EXPECT_THAT(no_server.message, HasSubstr("(controller1): the certificate is revoked"));
  });
}

TEST_F(ReloadTest, AFleetChangesItsCaWithoutLosingAConnection) {
  const TestFleet next;  // its CA has the same name: only the key differs
  const auto server_files = files_of(fleet, v1::ROLE_CONTROLLER, "controller1");
  controller = load(server_files);
  const auto old_node = load(files_of(fleet, v1::ROLE_AGENT, "old-node"));
  listen();
  run([&]() -> asio::awaitable<void> {
    const auto old_session = co_await get(dial(old_node));

    // First the bundle, everywhere; and the new CA's list, without which nobody of it is believed.
    const auto both = content_of(pki::ca_files(fleet.directory()).certificate) +
                      content_of(pki::ca_files(next.directory()).certificate);
    write_whole(server_files.ca, both);
    const auto no_list = controller.reload();
    EXPECT_FALSE(no_list);
    EXPECT_THAT(no_list.error().message, HasSubstr("holds no revocation list of the CA test Umbra CA"));
    write_whole(server_files.crl,
                content_of(pki::crl_file(fleet.directory())) + content_of(pki::crl_file(next.directory())));
    reload(controller);
    auto new_files = files_of(next, v1::ROLE_AGENT, "new-node");
    write_whole(new_files.ca, both);
    write_whole(new_files.crl, content_of(server_files.crl));
    const auto new_node = load(new_files);
    const auto new_session = co_await get(dial(new_node));
    co_await expect_works(old_session);
    co_await expect_works(new_session);

    // A node of the new CA is revoked by its list, not by the old one's.
    const auto doomed = next.issue({v1::ROLE_AGENT, "doomed"});
    EXPECT_TRUE(pki::revoke(next.directory(), "doomed"));
    write_whole(server_files.crl,
                content_of(pki::crl_file(fleet.directory())) + content_of(pki::crl_file(next.directory())));
    reload(controller);
    const TlsFiles doomed_files{new_files.ca, doomed.certificate, doomed.key};
    const auto doomed_tls = load(doomed_files);
    const auto refused = co_await get_error(dial(doomed_tls));
    EXPECT_THAT(refused.message, HasSubstr("it is revoked"));

    // Then the server's own certificate, and the old CA goes.
    const auto issued = next.issue({v1::ROLE_CONTROLLER, "controller1", {"127.0.0.1"}});
    write_whole(server_files.certificate, content_of(issued.certificate));
    write_whole(server_files.key, content_of(issued.key));
    reload(controller);
    co_await expect_works(old_session);
    const auto another = co_await get(dial(new_node));
    co_await expect_works(another);
    write_whole(server_files.ca, content_of(pki::ca_files(next.directory()).certificate));
    write_whole(server_files.crl, content_of(pki::crl_file(next.directory())));
    reload(controller);
    co_await until([&] { return !old_session->is_open(); });
    EXPECT_TRUE(new_session->is_open());
    const TlsFiles old_files{new_files.ca, old_node.files().certificate, old_node.files().key};
    const auto old_tls = load(old_files);
    const auto gone = co_await get_error(dial(old_tls));
    EXPECT_THAT(gone.message, HasSubstr("not signed by the CA of the peer's fleet"));
  });
}

TEST_F(ReloadTest, AListPastItsDateGoesOnToRevokeAndIsTold) {
  const auto server_files = files_of(fleet, v1::ROLE_CONTROLLER, "controller1");
  const auto doomed = fleet.node(v1::ROLE_AGENT, "doomed");
  ASSERT_TRUE(pki::revoke(fleet.directory(), "doomed"));
  const auto list = pki::write_crl(fleet.directory(), kADay, std::chrono::system_clock::now() - 3 * kADay);
  ASSERT_TRUE(list) << list.error().text();
  fs::copy_file(*list, server_files.crl, fs::copy_options::overwrite_existing);
  controller = load(server_files);
  EXPECT_THAT(controller.warnings(), testing::ElementsAre(testing::AllOf(HasSubstr("is out of date since 20"),
                                                                         HasSubstr("umbractl pki crl"))));
  listen();
  run([&]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    co_await expect_works(session);
    const auto refused = co_await get_error(dial(doomed));
    EXPECT_THAT(refused.message, HasSubstr("it is revoked"));
  });
}

TEST_F(ReloadTest, AnOlderListDoesNotReplaceANewerOne) {
  const auto files = files_of(fleet, v1::ROLE_AGENT, "host2");
  const auto old = content_of(files.crl);
  ASSERT_TRUE(pki::revoke(fleet.directory(), "host1"));
  fs::copy_file(pki::crl_file(fleet.directory()), files.crl, fs::copy_options::overwrite_existing);
  auto tls = load(files);
  write_whole(files.crl, old);
  const auto changed = tls.reload();
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, Errc::kConflict);
  EXPECT_THAT(changed.error().message, HasSubstr("older than number 2"));
}

TEST_F(ReloadTest, AListOfAnotherCaIsNamed) {
  const TestFleet other;
  auto files = files_of(fleet, v1::ROLE_AGENT, "host2");
  fs::copy_file(pki::crl_file(other.directory()), files.crl, fs::copy_options::overwrite_existing);
  const auto loaded = Tls::load(files);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("not signed by any CA"));
}

TEST_F(ReloadTest, OurOwnRevokedCertificateIsNoCredential) {
  const auto files = files_of(fleet, v1::ROLE_AGENT, "host2");
  ASSERT_TRUE(pki::revoke(fleet.directory(), files.certificate));
  fs::copy_file(pki::crl_file(fleet.directory()), files.crl, fs::copy_options::overwrite_existing);
  const auto loaded = Tls::load(files);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("the certificate is revoked"));
}

TEST_F(ReloadTest, ARevokedControllersWarrantsAreNone) {
  const auto files = files_of(fleet, v1::ROLE_AGENT, "host2");
  auto reader = load(files);
  const auto signed_before = warrant::sign(controller, {});
  ASSERT_TRUE(signed_before) << signed_before.error().text();
  EXPECT_TRUE(warrant::open(reader, *signed_before, std::nullopt));
  ASSERT_TRUE(pki::revoke(fleet.directory(), "controller1"));
  fs::copy_file(pki::crl_file(fleet.directory()), files.crl, fs::copy_options::overwrite_existing);
  reload(reader);
  const auto refused = warrant::open(reader, *signed_before, std::nullopt);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kDenied);
  EXPECT_THAT(refused.error().message, HasSubstr("the certificate is revoked"));
}

TEST_F(ReloadTest, TheKeeperTellsWhatLastsOnceAndWhatWasAskedForEachTime) {
  const auto files = files_of(fleet, v1::ROLE_AGENT, "host2");
  FakeClock clock;
  std::vector<std::string> renewed;
  std::vector<std::string> failed;
  TlsKeeper keeper(io.get_executor(), clock, load(files),
                   {.renewed = [&](const std::string& what) { renewed.push_back(what); },
                    .failed = [&](const Error& why) { failed.push_back(why.text()); }});
  keeper.look(false);
  EXPECT_THAT(renewed, IsEmpty());
  EXPECT_THAT(keeper.warnings(), IsEmpty());

  const auto key = content_of(files.key);
  write_whole(files.key, content_of(fleet.issue({v1::ROLE_AGENT, "other"}).key));
  keeper.look(false);
  EXPECT_THAT(failed, IsEmpty()) << "perhaps the certificate is about to follow";
  keeper.look(false);
  EXPECT_EQ(failed.size(), 1U);
  keeper.look(false);
  EXPECT_EQ(failed.size(), 1U) << "once";
  EXPECT_THAT(keeper.warnings(), testing::ElementsAre(HasSubstr("does not belong to the certificate")));
  keeper.look(true);
  EXPECT_EQ(failed.size(), 2U);

  write_whole(files.key, key);
  ASSERT_TRUE(pki::renew(fleet.directory(), {files.certificate, files.key}));
  keeper.look(false);
  ASSERT_EQ(renewed.size(), 1U);
  EXPECT_THAT(renewed.front(), HasSubstr("agent host2, valid until 20"));
  EXPECT_THAT(renewed.front(), HasSubstr("revocation list good until 20"));
  EXPECT_THAT(keeper.warnings(), IsEmpty());
}

TEST_F(ReloadTest, TheKeeperLooksEveryMinuteAndWhenAsked) {
  const auto files = files_of(fleet, v1::ROLE_AGENT, "host2");
  FakeClock clock;
  int renewed = 0;
  TlsKeeper keeper(io.get_executor(), clock, load(files),
                   {.renewed = [&](const std::string&) { ++renewed; }, .failed = {}});
  bool ended = false;
  asio::co_spawn(io, keeper.run(), [&](const std::exception_ptr&) { ended = true; });
  io.poll();
  const auto renew = [&] { return pki::renew(fleet.directory(), {files.certificate, files.key}).has_value(); };
  ASSERT_TRUE(renew());
  clock.advance(59s);
  io.poll();
  EXPECT_EQ(renewed, 0);
  clock.advance(1s);
  io.poll();
  EXPECT_EQ(renewed, 1);
  ASSERT_TRUE(renew());
  keeper.ask();
  io.poll();
  EXPECT_EQ(renewed, 2);
  keeper.stop();
  io.poll();
  EXPECT_TRUE(ended);
}

TEST_F(ReloadTest, CallsThatFailAreToldToWhoeverWatches) {
  std::vector<std::string> told;
  auto listening = Server::listen(io.get_executor(), {asio::ip::make_address("127.0.0.1"), 0}, controller,
                                  Services{echo}.watched([&](const FailedCall& call) {
                                    told.push_back(fmt::format("{} {} {} {}", call.peer.name, call.name,
                                                               call.method != nullptr, to_string(call.error.code)));
                                  }));
  ASSERT_TRUE(listening);
  server = std::move(*listening);
  address = fmt::format("127.0.0.1:{}", server->endpoint().port());
  run([&]() -> asio::awaitable<void> {
    const auto session = co_await get(dial(host1));
    EchoClient client(session);
    auto hello = text("hello");
    co_await get(client.say(hello, 5s));
    const auto denied = co_await get_error(client.admins_only(hello, 5s));
    EXPECT_EQ(denied.code, Errc::kDenied);
    Failure failure;
    failure.set_code(static_cast<std::uint32_t>(Errc::kConflict));
    failure.set_message("no");
    const auto failed = co_await get_error(client.fail(failure, 5s));
    EXPECT_EQ(failed.code, Errc::kConflict);
    const std::string nonsense = "No/Such";
    const auto unknown = co_await get_error(session->call(nonsense, "", 5s));
    EXPECT_EQ(unknown.code, Errc::kUnsupported);
  });
  ASSERT_EQ(told.size(), 3U);
  EXPECT_THAT(told[0], HasSubstr("/AdminsOnly true denied"));
  EXPECT_THAT(told[1], HasSubstr("/Fail true conflict"));
  EXPECT_EQ(told[2], "host1 No/Such false unsupported");
}

}  // namespace
}  // namespace umbra::rpc::test
