// Which addresses VMs may have, and two VMs with one address.
#include "controller/inventory/addresses.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include "controller/inventory/routes.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class MuteSession final : public rpc::Session {
 public:
  const rpc::Identity& peer() const override { return peer_; }
  const std::string& address() const override { return address_; }
  bool is_open() const override { return true; }
  Task<std::string> call(std::string, std::string, Deadline) override { co_return fail(Errc::kUnavailable, "mute"); }
  Result<std::shared_ptr<rpc::Inflow>> open_stream(std::string, std::string, Deadline) override {
    return fail(Errc::kUnavailable, "mute");
  }
  Task<void> drain(Deadline) override { co_return Result<void>{}; }
  void close(std::string_view) override {}

 private:
  rpc::Identity peer_;
  std::string address_ = "nowhere";
};

class Addresses : public testing::Test {
 protected:
  Addresses() { open(); }
  ~Addresses() override {
    close();
    std::filesystem::remove_all(directory_);
  }
  void close() {
    book.reset();
    inventory.reset();
    events.reset();
    store.reset();
  }
  void open() {
    close();
    store = std::move(*Store::open(directory_));
    events = std::make_unique<EventLog>(store->log, clock, io.get_executor());
    inventory = std::move(*Inventory::load(*store, *events, clock, io.get_executor(), {1000ms, 4}));
    book = std::make_unique<AddressBook>(*inventory, *store, *events, clock, rules);
    ASSERT_TRUE(book->load());
    for (int i = 1; i <= 2; ++i) {
      v1::RegisterRequest request;
      request.set_epochs_known(true);
      request.mutable_node()->set_name(fmt::format("host{}", i));
      request.mutable_node()->set_role(v1::ROLE_AGENT);
      request.mutable_node()->set_zone("a");
      request.mutable_node()->set_underlay_address(fmt::format("192.0.2.{}", i));
      sessions[request.node().name()] = std::make_shared<MuteSession>();
      ASSERT_TRUE(inventory->registered(request, sessions[request.node().name()]));
    }
  }
  static v1::Vm vm(int number, const std::string& address, v1::VmState state = v1::VM_STATE_RUNNING) {
    v1::Vm vm;
    vm.set_uuid(fmt::format("u{}", number));
    vm.set_name(fmt::format("vm{}", number));
    vm.set_state(state);
    vm.add_addresses(address);
    return vm;
  }
  void report(const std::string& host, const std::vector<v1::Vm>& vms, Epoch served = 0) {
    v1::ReportRequest request;
    if (served != 0) {
      request.add_served()->set_vm_uuid("u1");
      request.mutable_served(0)->set_epoch(served);
      request.mutable_served(0)->set_active(true);
    }
    request.set_hypervisor_up(true);
    request.set_vms_known(true);
    for (const auto& one : vms) *request.add_vms() = one;
    ASSERT_TRUE(inventory->reported(host, sessions[host], request));
    book->refresh();
  }
  /// Both hosts repeat what they say until it counts.
  void settle(const std::vector<v1::Vm>& host1, const std::vector<v1::Vm>& host2) {
    for (int i = 0; i < 6; ++i) {
      report("host1", host1);
      report("host2", host2);
      clock.advance(1s);
      inventory->watch();
      book->refresh();
    }
  }
  /// "vm host" of each route.
  std::vector<std::string> routes() {
    std::vector<std::string> found;
    const auto wanted = wanted_routes(*inventory, book.get());
    for (const auto& route : wanted.routes())
      found.push_back(fmt::format("{} {} {}", route.address(), route.vm_uuid(), route.host()));
    return found;
  }
  std::vector<std::string> told(v1::Severity severity) {
    std::vector<std::string> texts;
    const auto all = events->events(1000, "", 0).value();
    for (const auto& event : all)
      if (event.kind() == v1::EVENT_KIND_ROUTE && event.severity() == severity)
        texts.push_back(event.vm() + " " + event.text());
    return texts;
  }

  asio::io_context io;
  FakeClock clock;
  netswitch::AddressRules rules;
  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / fmt::format("umbra-addresses-{}", ::getpid());
  std::unique_ptr<Store> store;
  std::unique_ptr<EventLog> events;
  std::unique_ptr<Inventory> inventory;
  std::unique_ptr<AddressBook> book;
  std::map<std::string, std::shared_ptr<rpc::Session>> sessions;
};

TEST_F(Addresses, OfTwoVmsWithOneTheFirstKeepsTheRoute) {
  report("host1", {vm(2, "10.1.0.1")});
  settle({vm(2, "10.1.0.1")}, {vm(1, "10.1.0.1")});
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u2 host1"});
  EXPECT_THAT(inventory->vm("u1")->objection, HasSubstr("it has address 10.1.0.1, which is that of vm2 on host1 too"));
  EXPECT_THAT(inventory->vm("u2")->objection, HasSubstr("It had it first"));
  const auto alerts = told(v1::SEVERITY_ALERT);
  ASSERT_THAT(alerts, SizeIs(1)) << "once";
  EXPECT_THAT(alerts[0], AllOf(HasSubstr("vm1 has address 10.1.0.1"), HasSubstr("vm2 on host1"), HasSubstr("Remedy")));
  EXPECT_THAT(book->faults(), SizeIs(2));
}

TEST_F(Addresses, TheFirstStaysTheFirstAcrossARestartAndAMove) {
  report("host1", {vm(2, "10.1.0.1")});
  settle({vm(2, "10.1.0.1")}, {vm(1, "10.1.0.1")});
  open();
  book->refresh();
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u2 host1"}) << "before anybody was heard";
  settle({}, {vm(1, "10.1.0.1"), vm(2, "10.1.0.1")});
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u2 host2"});
}

TEST_F(Addresses, TheSecondGetsTheAddressWhenTheFirstIsShutDown) {
  report("host1", {vm(2, "10.1.0.1")});
  settle({vm(2, "10.1.0.1")}, {vm(1, "10.1.0.1")});
  settle({vm(2, "10.1.0.1", v1::VM_STATE_SHUT_OFF)}, {vm(1, "10.1.0.1")});
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u1 host2"});
  EXPECT_THAT(inventory->vm("u1")->objection, IsEmpty());
  EXPECT_THAT(book->faults(), IsEmpty());
  settle({vm(2, "10.1.0.1")}, {vm(1, "10.1.0.1")});
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u1 host2"}) << "it is the older one now";
  EXPECT_THAT(told(v1::SEVERITY_ALERT), SizeIs(2));
}

TEST_F(Addresses, ThatPassFromOneVmToAnotherBetweenTwoReportsAreNoAlert) {
  settle({vm(1, "10.1.0.1")}, {vm(2, "10.1.0.2")});
  report("host2", {vm(2, "10.1.0.1")});
  clock.advance(1s);
  book->refresh();
  report("host1", {vm(1, "10.1.0.3")});
  settle({vm(1, "10.1.0.3")}, {vm(2, "10.1.0.1")});
  EXPECT_THAT(told(v1::SEVERITY_ALERT), IsEmpty());
  EXPECT_THAT(book->faults(), IsEmpty());
  EXPECT_EQ(routes(), (std::vector<std::string>{"10.1.0.3 u1 host1", "10.1.0.1 u2 host2"}));
}

TEST_F(Addresses, WrittenInTwoWaysAreOne) {
  settle({vm(1, "fd50::1")}, {vm(2, "fd50:0::1")});
  EXPECT_THAT(book->faults(), SizeIs(2));
  EXPECT_THAT(routes(), SizeIs(1));
}

TEST_F(Addresses, ThatNoVmMayHaveGetNoRouteAndAreTold) {
  settle({vm(1, "192.0.2.2")}, {vm(2, "169.254.1.1"), vm(3, "10.1.0")});
  EXPECT_THAT(routes(), IsEmpty());
  EXPECT_THAT(inventory->vm("u1")->objection, HasSubstr("192.0.2.2 is an address of the fleet's own nodes"));
  EXPECT_THAT(inventory->vm("u2")->objection, HasSubstr("link-local"));
  EXPECT_THAT(inventory->vm("u3")->objection, HasSubstr("not an IP address"));
  EXPECT_THAT(told(v1::SEVERITY_WARNING), SizeIs(3));
}

TEST_F(Addresses, OutsideOfWhatIsAllowedGetNoRoute) {
  rules.allowed = netswitch::AddressRules::parse_allowed({"10.1.0.0/24"}).value();
  open();
  settle({vm(1, "10.1.0.1")}, {vm(2, "10.2.0.1")});
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u1 host1"});
  EXPECT_THAT(inventory->vm("u2")->objection, HasSubstr("network.allowed_addresses (10.1.0.0/24)"));
  EXPECT_THAT(inventory->vm("u1")->objection, IsEmpty());
}

TEST_F(Addresses, FollowTheHostThatProvesToHaveTheVmWhileItsOwnerIsSilent) {
  settle({vm(1, "10.1.0.1")}, {});
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u1 host1"});
  for (int i = 0; i < 12; ++i) {
    clock.advance(1s);
    report("host2", {vm(1, "10.1.0.1")});
    inventory->watch();
  }
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u1 host1"}) << "host1 may run it still";
  for (int i = 0; i < 12; ++i) {
    clock.advance(1s);
    report("host2", {vm(1, "10.1.0.1")}, inventory->vm("u1")->epoch + 1);
    inventory->watch();
  }
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u1 host2"});
  EXPECT_GT(wanted_routes(*inventory, book.get()).routes(0).epoch(), 1u);
}

TEST_F(Addresses, OfAVmThatIsShutOffAreNobodys) {
  settle({vm(1, "10.1.0.1", v1::VM_STATE_SHUT_OFF)}, {vm(2, "10.1.0.1")});
  EXPECT_THAT(book->faults(), IsEmpty());
  EXPECT_EQ(routes(), std::vector<std::string>{"10.1.0.1 u2 host2"});
}

}  // namespace
}  // namespace umbra::controller
