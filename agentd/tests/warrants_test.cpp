// What a node does for others, it does on the controller's word alone.
#include "agentd/warrants.hpp"

#include <gmock/gmock.h>

#include "agentd/services.hpp"
#include "agentd/tests/two_hosts.hpp"
#include "base/listening.hpp"
#include "rpc/dialer.hpp"
#include "rpc/fakes/test_fleet.hpp"
#include "rpc/server.hpp"
#include "rpc/warrant.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using shadow::Phase;
using shadow::Side;
using testing::HasSubstr;
using testing::IsEmpty;

/// The real time, or what a test makes of it: certificates are of today.
class ShiftedClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point steady() const override { return real_.steady() + by; }
  std::chrono::microseconds wall() const override { return real_.wall() + by; }
  std::chrono::minutes by{0};

 private:
  SystemClock real_;
};

/// host2 – the standby of TwoHosts –, served as over the wire, and what the controller and host1 can put together.
struct Guarded : testing::Test {
  rpc::TestFleet fleet;
  rpc::Tls controller = fleet.node(v1::ROLE_CONTROLLER, "controller"), thief = fleet.node(v1::ROLE_AGENT, "host3"),
           own = fleet.node(v1::ROLE_AGENT, "host2");
  ShiftedClock clock;
  TwoHosts world;
  std::vector<std::string> denied;
  Warrants warrants{own, "host2", clock, [this](const std::string& what) { denied.push_back(what); }};
  StandbyApi standby{*world.standby.process->host(), warrants, {}};
  NetSwitchApi routes{world.standby.process->network(), warrants};
  const rpc::Caller host1{"host1", v1::ROLE_AGENT}, host3{"host3", v1::ROLE_AGENT};

  v1::WarrantStatement about(v1::WarrantKind kind, std::chrono::minutes validity) {
    v1::WarrantStatement statement;
    statement.set_kind(kind);
    statement.set_vm_uuid(TwoHosts::kVm);
    statement.set_vm_name("web1");
    statement.add_addresses(TwoHosts::kAddress);
    statement.set_source("host1");
    statement.set_standby("host2");
    statement.set_standby_underlay_address(world.standby.node.underlay_address());
    statement.set_issued_at_unix_ms(clock.unix_ms());
    statement.set_not_after_unix_ms(clock.unix_ms() + Milliseconds(validity).count());
    return statement;
  }
  v1::WarrantStatement shadow() {
    auto statement = about(v1::WARRANT_KIND_SHADOW, 24h);
    for (const auto act : {v1::WARRANT_ACT_STAGE, v1::WARRANT_ACT_INSPECT, v1::WARRANT_ACT_DISCARD})
      statement.add_acts(act);
    return statement;
  }
  v1::WarrantStatement cutover(std::uint64_t epoch = 7) {
    auto statement = about(v1::WARRANT_KIND_CUTOVER, 10min);
    statement.set_epoch(epoch);
    statement.add_routers("edge");
    for (int act = v1::WARRANT_ACT_ACCEPT; act <= v1::WARRANT_ACT_UNPOINT; ++act)
      statement.add_acts(static_cast<v1::WarrantAct>(act));
    return statement;
  }
  v1::Warrant of(v1::WarrantStatement statement) { return *rpc::warrant::sign(controller, std::move(statement)); }

  v1::StageRequest staging(const v1::Warrant& warrant) {
    v1::StageRequest request;
    const auto vm = world.source.process->host()->vm(TwoHosts::kVm);
    *request.mutable_vm() = *vm;
    request.set_domain_xml(TwoHosts::domain_xml(mebibytes(64)));
    request.set_source("host1");
    *request.mutable_warrant() = warrant;
    return request;
  }
  template <class Request>
  Request in_epoch(std::uint64_t epoch, const v1::Warrant& warrant) {
    Request request;
    request.set_vm_uuid(TwoHosts::kVm);
    request.set_epoch(epoch);
    *request.mutable_warrant() = warrant;
    return request;
  }
  v1::AcceptRequest accepting(std::uint64_t epoch, const v1::Warrant& warrant) {
    auto request = in_epoch<v1::AcceptRequest>(epoch, warrant);
    request.set_source("host1");
    *request.mutable_vm() = *world.source.process->host()->vm(TwoHosts::kVm);
    return request;
  }
  v1::PointRequest pointing(std::uint64_t epoch, const v1::Warrant& warrant) {
    auto request = in_epoch<v1::PointRequest>(epoch, warrant);
    request.add_addresses(TwoHosts::kAddress);
    request.set_host("host2");
    request.set_underlay_address(world.standby.node.underlay_address());
    return request;
  }
  template <class T>
  Result<T> served(Task<T> call) {
    return world.ask(&world.standby, std::move(call), 20s);
  }
  void expect_unharmed() {
    EXPECT_EQ(world.qemu(world.standby), nullptr);
    EXPECT_FALSE(world.record(world.standby, Side::kStandby));
    EXPECT_EQ(world.route(world.standby), "host1");
  }
};

template <class T>
testing::AssertionResult is_denied(const Result<T>& answer, std::string_view why) {
  if (answer) return testing::AssertionFailure() << "it was allowed";
  if (answer.error().code != Errc::kDenied || answer.error().message.find(why) == std::string::npos)
    return testing::AssertionFailure() << answer.error().text();
  return testing::AssertionSuccess();
}

TEST_F(Guarded, a_shadow_is_staged_accepted_and_pointed_with_the_controllers_word) {
  const auto staged = served(standby.stage(host1, staging(of(shadow()))));
  ASSERT_TRUE(staged) << staged.error().text();
  const auto warrant = of(cutover());
  const auto accepted = served(standby.accept(host1, accepting(7, warrant)));
  ASSERT_TRUE(accepted) << accepted.error().text();
  const auto pointed = served(routes.point(host1, pointing(7, warrant)));
  EXPECT_TRUE(pointed) << pointed.error().text();
  EXPECT_EQ(world.route(world.standby), "tap");
  EXPECT_THAT(denied, IsEmpty());
}

TEST_F(Guarded, a_bare_request_does_nothing) {
  const v1::Warrant none;
  EXPECT_TRUE(is_denied(served(standby.stage(host1, staging(none))), "no warrant"));
  EXPECT_TRUE(is_denied(served(standby.accept(host1, accepting(7, none))), "no warrant"));
  EXPECT_TRUE(is_denied(served(standby.released(host1, in_epoch<v1::ReleasedRequest>(7, none))), "no warrant"));
  EXPECT_TRUE(is_denied(served(standby.refuse(host1, in_epoch<v1::RefuseRequest>(7, none))), "no warrant"));
  EXPECT_TRUE(is_denied(served(standby.inspect(host1, in_epoch<v1::InspectRequest>(7, none))), "no warrant"));
  EXPECT_TRUE(is_denied(served(standby.discard(host1, {})), "no warrant"));
  EXPECT_TRUE(is_denied(served(routes.point(host1, pointing(7, none))), "no warrant"));
  EXPECT_TRUE(is_denied(served(routes.unpoint(host1, in_epoch<v1::UnpointRequest>(7, none))), "no warrant"));
  EXPECT_EQ(warrants.denied(), 8u);
  EXPECT_EQ(denied.size(), 1u) << "the operator is told once, not eight times";
  expect_unharmed();
}

TEST_F(Guarded, another_host_cannot_use_a_warrant_that_it_has_seen) {
  EXPECT_TRUE(is_denied(served(standby.stage(host3, staging(of(shadow())))), "source host1"));
  EXPECT_TRUE(is_denied(served(standby.accept(host3, accepting(7, of(cutover())))), "source host1"));
  EXPECT_TRUE(is_denied(served(routes.point(host3, pointing(7, of(cutover())))), "source host1"));
  expect_unharmed();
}

TEST_F(Guarded, a_warrant_that_a_host_signed_itself_is_none) {
  const auto forged = *rpc::warrant::sign(thief, cutover());
  EXPECT_TRUE(is_denied(served(standby.accept(host1, accepting(7, forged))), "no controller"));
}

TEST_F(Guarded, a_warrant_is_for_one_vm_one_standby_one_act) {
  const auto denies = [&](v1::WarrantStatement statement, std::string_view why) {
    return is_denied(served(standby.stage(host1, staging(of(std::move(statement))))), why);
  };
  auto other = shadow();
  other.set_vm_uuid("11111111-2222-3333-4444-555555555502");
  EXPECT_TRUE(denies(other, "VM"));
  other = shadow();
  other.set_vm_name("web2");
  EXPECT_TRUE(denies(other, "VM web2"));
  other = shadow();
  other.set_standby("host9");
  EXPECT_TRUE(denies(other, "standby host9"));
  other = shadow();
  other.clear_addresses();
  EXPECT_TRUE(denies(other, "address 10.50.0.1"));
  EXPECT_TRUE(denies(cutover(), "stage"));
  expect_unharmed();
}

TEST_F(Guarded, epochs_come_from_warrants_alone) {
  const auto warrant = of(cutover(7));
  for (const std::uint64_t epoch : {0ULL, 6ULL, 8ULL, (1ULL << 53) + 1, ~0ULL >> 1}) {
    EXPECT_TRUE(is_denied(served(standby.accept(host1, accepting(epoch, warrant))), "epoch")) << epoch;
    EXPECT_TRUE(is_denied(served(standby.refuse(host1, in_epoch<v1::RefuseRequest>(epoch, warrant))), "epoch"));
    EXPECT_TRUE(is_denied(served(standby.released(host1, in_epoch<v1::ReleasedRequest>(epoch, warrant))), "epoch"));
    EXPECT_TRUE(is_denied(served(routes.point(host1, pointing(epoch, warrant))), "epoch"));
  }
  auto absurd = cutover((1ULL << 53) + 1);
  EXPECT_TRUE(is_denied(served(standby.refuse(host1, in_epoch<v1::RefuseRequest>((1ULL << 53) + 1, of(absurd)))),
                        "beyond all"));
  auto shadows = shadow();
  shadows.add_acts(v1::WARRANT_ACT_REFUSE);
  EXPECT_TRUE(is_denied(served(standby.refuse(host1, in_epoch<v1::RefuseRequest>(7, of(shadows)))), "for a shadow"));
  expect_unharmed();
}

TEST_F(Guarded, only_the_vms_own_addresses_are_pointed_and_only_to_the_standby) {
  const auto warrant = of(cutover());
  auto elsewhere = pointing(7, warrant);
  elsewhere.add_addresses("10.50.0.99");
  EXPECT_TRUE(is_denied(served(routes.point(host1, elsewhere)), "10.50.0.99"));
  elsewhere = pointing(7, warrant);
  elsewhere.set_underlay_address("10.0.0.66");
  EXPECT_TRUE(is_denied(served(routes.point(host1, elsewhere)), "10.0.0.66"));
  elsewhere = pointing(7, warrant);
  elsewhere.set_host("host1");
  EXPECT_TRUE(is_denied(served(routes.point(host1, elsewhere)), "host1"));
  auto foreign = in_epoch<v1::UnpointRequest>(7, warrant);
  foreign.add_addresses("10.50.0.99");
  EXPECT_TRUE(is_denied(served(routes.unpoint(host1, foreign)), "10.50.0.99"));
  expect_unharmed();
}

TEST_F(Guarded, a_router_follows_only_what_names_it) {
  Warrants of_edge(own, "edge", clock, [](const auto&) {}), of_another(own, "edge9", clock, [](const auto&) {});
  const auto warrant = of(cutover());
  EXPECT_TRUE(of_edge.allow(host1, pointing(7, warrant)));
  EXPECT_TRUE(is_denied(of_another.allow(host1, pointing(7, warrant)), "does not name edge9"));
}

TEST_F(Guarded, expiry_limits_what_begins) {
  const auto shadow_warrant = of(shadow()), late = of(cutover(8));
  clock.by = 16min;  // ten of the warrant, five of tolerance, one
  EXPECT_TRUE(is_denied(served(standby.accept(host1, accepting(8, late))), "expired"));
  EXPECT_TRUE(is_denied(served(routes.point(host1, pointing(8, late))), "expired"));
  clock.by = 25h;
  EXPECT_TRUE(is_denied(served(standby.stage(host1, staging(shadow_warrant))), "expired"));
  clock.by = -6min;
  EXPECT_TRUE(is_denied(served(standby.stage(host1, staging(shadow_warrant))), "from now"));
  clock.by = -4min;
  EXPECT_TRUE(served(standby.stage(host1, staging(shadow_warrant)))) << "clocks differ by minutes";
}

TEST_F(Guarded, what_was_accepted_in_time_is_settled_whenever_that_can_be) {
  const auto shadow_warrant = of(shadow()), warrant = of(cutover());
  ASSERT_TRUE(served(standby.stage(host1, staging(shadow_warrant))));
  ASSERT_TRUE(served(standby.accept(host1, accepting(7, warrant))));
  clock.by = 24h * 2000;  // not even the controller's certificate is valid any more
  EXPECT_TRUE(served(routes.point(host1, pointing(7, warrant))));
  auto back = in_epoch<v1::UnpointRequest>(7, warrant);
  back.add_addresses(TwoHosts::kAddress);
  EXPECT_TRUE(served(routes.unpoint(host1, back)));
  const auto refused = served(standby.refuse(host1, in_epoch<v1::RefuseRequest>(7, warrant)));
  ASSERT_TRUE(refused) << refused.error().text();
  EXPECT_TRUE(refused->refused());
  v1::DiscardRequest discard;
  discard.set_vm_uuid(TwoHosts::kVm);
  discard.set_source("host1");
  *discard.mutable_warrant() = shadow_warrant;
  EXPECT_TRUE(served(standby.discard(host1, discard)));
}

TEST_F(Guarded, the_owner_before_cannot_stage_what_has_moved_on) {
  world.warm();
  const auto moved = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return moved->end.has_value(); }, 20s));
  auto before = shadow();
  before.set_epoch(1);  // when host1 became the owner
  EXPECT_TRUE(is_denied(served(standby.stage(host1, staging(of(before)))), "ran on host2 in epoch"));
}

TEST_F(Guarded, a_warrant_does_not_let_arguments_of_qemu_through) {
  auto request = staging(of(shadow()));
  auto& xml = *request.mutable_domain_xml();
  xml.replace(xml.find("<domain "), 8, "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ");
  xml.insert(
      xml.find("</domain>"),
      "<qemu:commandline><qemu:arg value='-chardev'/><qemu:arg value='file,id=x,path=/tmp/x'/></qemu:commandline>");
  EXPECT_TRUE(is_denied(served(standby.stage(host1, request)), "-chardev"));
  expect_unharmed();
}

TEST_F(Guarded, what_libvirt_is_to_keep_of_a_domain_is_held_to_the_same_rules) {
  ASSERT_TRUE(served(standby.stage(host1, staging(of(shadow())))));
  auto definition = accepting(7, of(cutover()));
  auto& xml = *definition.mutable_kept()->mutable_inactive_xml();
  xml = TwoHosts::domain_xml(mebibytes(64));
  xml.insert(xml.find("<devices>") + 9, "<emulator>/tmp/x</emulator>");
  EXPECT_TRUE(is_denied(served(standby.accept(host1, definition)), "/tmp/x"));
  auto snapshot = accepting(7, of(cutover()));
  snapshot.mutable_kept()->add_snapshots("<domainsnapshot><name>s</name>" + xml + "</domainsnapshot>");
  EXPECT_TRUE(is_denied(served(standby.accept(host1, snapshot)), "/tmp/x"));
  auto another = accepting(7, of(cutover()));
  another.mutable_vm()->set_uuid("11111111-2222-3333-4444-555555555502");
  EXPECT_TRUE(is_denied(served(standby.accept(host1, another)), "555555555502"));
  another = accepting(7, of(cutover()));
  another.mutable_vm()->add_addresses("10.50.0.99");
  EXPECT_TRUE(is_denied(served(standby.accept(host1, another)), "10.50.0.99"));
  EXPECT_TRUE(served(standby.accept(host1, accepting(7, of(cutover())))));
}

TEST_F(Guarded, the_source_looks_too_before_it_begins) {
  Warrants of_source(own, "host1", clock, [](const auto&) {});
  const rpc::Caller by_controller{"controller", v1::ROLE_CONTROLLER};
  v1::KeepShadowRequest keep;
  keep.set_vm_uuid(TwoHosts::kVm);
  *keep.mutable_standby() = world.standby.node;
  EXPECT_TRUE(is_denied(of_source.allow(by_controller, keep), "no warrant"));
  *keep.mutable_warrant() = of(shadow());
  EXPECT_TRUE(of_source.allow(by_controller, keep));
  keep.mutable_standby()->set_name("host9");
  EXPECT_TRUE(is_denied(of_source.allow(by_controller, keep), "host9"));

  auto move = world.cutover_request(world.source, world.standby);
  *move.mutable_warrant() = of(cutover(move.epoch()));
  const auto addresses = shadow().addresses();
  EXPECT_TRUE(of_source.allow(by_controller, move, addresses));
  auto more = addresses;
  *more.Add() = "10.50.0.77";
  EXPECT_TRUE(is_denied(of_source.allow(by_controller, move, more), "10.50.0.77"));
  move.add_routers()->set_name("edge9");
  EXPECT_TRUE(is_denied(of_source.allow(by_controller, move, addresses), "edge9"));
  move.set_epoch(move.epoch() + 1);
  EXPECT_TRUE(is_denied(of_source.allow(by_controller, move, addresses), "epoch"));
}

/// host2's own certificate, at host1's open port: what it could do before there were warrants.
TEST_F(Guarded, a_host_with_a_good_certificate_gets_nowhere_over_the_wire) {
  asio::io_context io;
  rpc::Services services{std::make_shared<StandbyApi>(standby), std::make_shared<NetSwitchApi>(routes)};
  auto server = *rpc::Server::listen(io.get_executor(), *parse_endpoint("127.0.0.1:0"), own, services);
  const auto address = fmt::format("127.0.0.1:{}", server->endpoint().port());
  const auto attack = [&]() -> asio::awaitable<void> {
    rpc::Expect expect{"host2", v1::ROLE_AGENT};
    rpc::Services nothing;
    auto session = co_await rpc::connect(io.get_executor(), address, thief, expect, nothing, 5s);
    if (!session) throw std::runtime_error(session.error().text());
    v1::StandbyClient shadows(*session);
    v1::NetSwitchClient switches(*session);
    auto stage = staging({});
    stage.set_source("host3");
    stage.mutable_domain_xml()->insert(stage.domain_xml().find("</domain>"), "<qemu:commandline/>");
    const auto staged = co_await shadows.stage(stage, 5s);
    EXPECT_TRUE(is_denied(staged, "no warrant"));
    std::string deep;
    for (int i = 0; i < 500'000; ++i) deep += "<a>";
    stage.set_domain_xml(deep);
    *stage.mutable_warrant() = *rpc::warrant::sign(thief, shadow());
    const auto forged = co_await shadows.stage(stage, 5s);
    EXPECT_TRUE(is_denied(forged, "no controller"));
    auto refuse = in_epoch<v1::RefuseRequest>(~0ULL >> 1, {});
    const auto refused = co_await shadows.refuse(refuse, 5s);
    EXPECT_TRUE(is_denied(refused, "no warrant"));
    auto point = pointing(~0ULL >> 1, {});
    const auto pointed = co_await switches.point(point, 5s);
    EXPECT_TRUE(is_denied(pointed, "no warrant"));
    server->stop();
    io.stop();
  };
  asio::co_spawn(io, attack(), [](std::exception_ptr bug) {
    if (bug) std::rethrow_exception(bug);
  });
  io.run();
  server.reset();
  expect_unharmed();
  world.warm();  // and the VM can have its shadow there, and move, as before
  const auto moved = world.cutover(world.source, world.standby);
  ASSERT_TRUE(world.until([&] { return moved->end.has_value(); }, 20s));
  EXPECT_EQ((*moved->end)->outcome(), v1::OUTCOME_MOVED);
}

}  // namespace
}  // namespace umbra::agent::test
