// A flip under traffic, with the real kernel: an edge, two hosts on one Ethernet, and a guest that moves between them.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <vector>

#include "netswitch/flip.hpp"
#include "netswitch/netlink_kernel.hpp"
#include "netswitch/switch.hpp"
#include "netswitch/tests/addresses.hpp"
#include "netswitch/tests/guest.hpp"
#include "netswitch/tests/namespace.hpp"

namespace umbra::netswitch {
namespace {

using namespace std::chrono_literals;
using test::File;
using test::Guest;
using test::ip;
using test::mac;
using test::Namespace;
using Place = Flip::Place;
using Clock = std::chrono::steady_clock;

void must(const Result<void>& done) {
  if (!done) throw std::runtime_error(done.error().text());
}

struct Node {
  Node(const Namespace& wire, int number)
      : v4(ip(fmt::format("10.77.0.{}", number))), v6(ip(fmt::format("fd77::{}", number))) {
    wire.add_veth(fmt::format("port{}", number), space, "eth0", "wire");
    wire.inside([&] {
      must(NetlinkKernel::open().value()->change_link(fmt::format("port{}", number), {.up = true}));
      return 0;
    });
    space.forward_packets();
    kernel = space.inside([] { return NetlinkKernel::open().value(); });
    must(kernel->change_link("eth0", {.up = true}));
    must(kernel->add_address("eth0", v4, 24));
    must(kernel->add_address("eth0", v6, 64));
    fabric = std::make_unique<Switch>(*kernel, SwitchConfig{});
  }
  File attach(const VmNet& vm) {
    must(space.inside([&] { return fabric->attach(vm); }));
    return space.open_tap(vm.tap);
  }
  const IpAddress& underlay(const IpAddress& vm) const { return vm.is_v6() ? v6 : v4; }

  Namespace space;
  IpAddress v4, v6;
  std::unique_ptr<NetlinkKernel> kernel;
  std::unique_ptr<Switch> fabric;
};

/// Sends numbered datagrams from a node at a steady rate, and counts which come back.
class Probe {
 public:
  Probe(const Node& from, const IpAddress& to, std::chrono::microseconds gap) : socket_(connect(from, to)), gap_(gap) {
    sender_ = std::thread([this] { send_all(); });
    receiver_ = std::thread([this] { receive_all(); });
  }
  ~Probe() { stop(); }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  struct Outcome {
    std::size_t sent = 0, lost = 0, twice = 0;
  };
  Outcome stop() {
    over_ = true;
    if (sender_.joinable()) sender_.join();
    if (receiver_.joinable()) receiver_.join();
    Outcome outcome{sent_, 0, 0};
    for (std::size_t i = 0; i < sent_; ++i) {
      if (i >= came_.size() || came_[i] == 0)
        ++outcome.lost;
      else if (came_[i] > 1)
        ++outcome.twice;
    }
    return outcome;
  }
  std::size_t sent() const { return sent_; }

 private:
  static File connect(const Node& from, const IpAddress& to) {
    return from.space.inside([&] {
      File made(socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const int room = 1 << 22;
      setsockopt(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = htons(7);
      sockaddr_in6 v6{};
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(7);
      if (to.is_v6())
        std::memcpy(&v6.sin6_addr, to.bytes().data(), 16);
      else
        std::memcpy(&v4.sin_addr, to.bytes().data(), 4);
      const auto* peer = to.is_v6() ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
      if (::connect(made.get(), peer, to.is_v6() ? sizeof v6 : sizeof v4) != 0)
        throw std::runtime_error("no route to the VM");
      return made;
    });
  }
  void send_all() {
    auto next = Clock::now();
    while (!over_) {
      const std::uint32_t number = static_cast<std::uint32_t>(sent_.load());
      // A refusal (an ICMP error of the datagram before) counts as sent and lost.
      static_cast<void>(send(socket_.get(), &number, sizeof number, MSG_NOSIGNAL));
      ++sent_;
      std::this_thread::sleep_until(next += gap_);
    }
  }
  void receive_all() {
    constexpr int kQuietMs = 500;  // after the last datagram was sent
    pollfd ready{socket_.get(), POLLIN, 0};
    while (poll(&ready, 1, kQuietMs) > 0 || !over_) {
      std::uint32_t number = 0;
      if (recv(socket_.get(), &number, sizeof number, MSG_DONTWAIT) != sizeof number) continue;
      if (came_.size() <= number) came_.resize(number + 1);
      ++came_[number];
    }
  }

  File socket_;
  std::chrono::microseconds gap_;
  std::atomic<bool> over_ = false;
  std::atomic<std::size_t> sent_ = 0;
  std::vector<int> came_;
  std::thread sender_, receiver_;
};

class Packets : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    vm_ = {"uuid-1", "vm1", "uvm1", mac("52:54:00:00:00:01"), {address_}, {}};
    tap_a_ = a_.attach(vm_);
    tap_b_ = b_.attach(vm_);
    must_point(a_, Hop::to_tap("uvm1"));
    must_point(b_, Hop::to_host(a_.underlay(address_)));
    must_point(edge_, Hop::to_host(a_.underlay(address_)));
    guest_ = std::make_unique<Guest>(address_, vm_.guest_mac, tap_a_.get());
  }
  void must_point(Node& node, const Hop& hop) {
    const auto pointed = node.fabric->point("uuid-1", address_, hop, epoch_);
    ASSERT_TRUE(pointed) << pointed.error().text();
  }
  Flip::Step step(Place place, Node& node, const Hop& hop) {
    return {place, "node", [&node, hop, this]() -> Task<void> { return point(node, hop, epoch_); },
            [&node, this]() -> Task<void> { return unpoint(node, epoch_); }};
  }
  Task<void> point(Node& node, Hop hop, std::uint64_t epoch) {
    auto pointed = node.fabric->point("uuid-1", address_, hop, epoch);
    if (!pointed) co_return fail(pointed.error());
    co_return Result<void>{};
  }
  Task<void> unpoint(Node& node, std::uint64_t epoch) { co_return node.fabric->undo("uuid-1", address_, epoch); }

  Flip flip(Node& from, Node& to, bool with_edge = true) {
    const Hop there = Hop::to_host(to.underlay(address_));
    std::vector<Flip::Step> steps;
    steps.push_back(step(Place::kNewHost, to, Hop::to_tap("uvm1")));
    if (with_edge) steps.push_back(step(Place::kEdge, edge_, there));
    steps.push_back(step(Place::kOldHost, from, there));
    return Flip(std::move(steps));
  }
  void await(Task<void> task) {
    asio::io_context io;
    asio::co_spawn(io, std::move(task),
                   [&](std::exception_ptr, Result<void> ended) { EXPECT_TRUE(ended) << ended.error().text(); });
    io.run();
  }
  /// Lets traffic flow until so many more datagrams were answered.
  void let_flow(std::uint64_t datagrams) {
    const auto enough = guest_->answered() + datagrams;
    const auto deadline = Clock::now() + 20s;
    while (guest_->answered() < enough && Clock::now() < deadline) std::this_thread::sleep_for(1ms);
    ASSERT_GE(guest_->answered(), enough) << "nothing arrives at the guest";
  }

  Namespace wire_ = [] {
    Namespace made;
    made.add_bridge("wire");
    made.inside([] {
      must(NetlinkKernel::open().value()->change_link("wire", {.up = true}));
      return 0;
    });
    return made;
  }();
  Node a_{wire_, 1}, b_{wire_, 2}, edge_{wire_, 11};
  const IpAddress address_ = ip(GetParam());
  std::uint64_t epoch_ = 1;
  VmNet vm_;
  File tap_a_, tap_b_;
  std::unique_ptr<Guest> guest_;
};

TEST_P(Packets, flips_back_and_forth_lose_none_of_1000_a_second) {
  Probe probe(edge_, address_, 1000us);
  let_flow(50);
  for (int round = 0; round < 8; ++round) {
    ++epoch_;
    Node& from = round % 2 == 0 ? a_ : b_;
    Node& to = round % 2 == 0 ? b_ : a_;
    await(flip(from, to).run());
    guest_->move(round % 2 == 0 ? tap_b_.get() : tap_a_.get(), 40ms);
    let_flow(150);
  }
  const auto outcome = probe.stop();
  EXPECT_GE(outcome.sent, 1250U);
  EXPECT_EQ(outcome.lost, 0U) << "of " << outcome.sent;
  EXPECT_EQ(outcome.twice, 0U);
}

TEST_P(Packets, an_aborted_flip_loses_only_what_the_shadow_was_sent_meanwhile) {
  Probe probe(edge_, address_, 1000us);
  let_flow(50);
  std::size_t meanwhile = 0;
  for (int round = 0; round < 5; ++round) {
    ++epoch_;
    Flip there = flip(a_, b_);
    const auto before = probe.sent();
    await(there.run());
    await(there.abort());
    meanwhile += probe.sent() - before + 1;  // one may be between being sent and being counted
    let_flow(50);
  }
  const auto outcome = probe.stop();
  EXPECT_LE(outcome.lost, meanwhile) << "of " << outcome.sent;
}

TEST_P(Packets, a_guest_that_is_deaf_for_a_second_finds_everything_in_its_queue) {
  Probe probe(edge_, address_, 1000us);
  let_flow(50);
  ++epoch_;
  await(flip(a_, b_).run());
  guest_->move(tap_b_.get(), 1000ms);
  let_flow(1000);
  const auto outcome = probe.stop();
  EXPECT_EQ(outcome.lost, 0U) << "of " << outcome.sent;
}

TEST_P(Packets, an_edge_that_was_not_told_is_served_by_the_old_host) {
  Probe probe(edge_, address_, 1000us);
  let_flow(50);
  ++epoch_;
  await(flip(a_, b_, false).run());
  guest_->move(tap_b_.get(), 10ms);
  let_flow(300);
  const auto outcome = probe.stop();
  EXPECT_EQ(outcome.lost, 0U) << "of " << outcome.sent;
}

TEST_P(Packets, the_old_host_first_would_lose_packets) {
  Probe probe(edge_, address_, 1000us);
  let_flow(50);
  ++epoch_;
  must_point(a_, Hop::to_host(b_.underlay(address_)));  // and B still sends to A: round and round
  const auto sent = probe.sent();
  while (probe.sent() < sent + 100) std::this_thread::sleep_for(1ms);
  ASSERT_TRUE(a_.fabric->undo("uuid-1", address_, epoch_));
  let_flow(50);
  const auto outcome = probe.stop();
  EXPECT_GE(outcome.lost, 50U) << "the probe must be able to see a loss";
}

INSTANTIATE_TEST_SUITE_P(To, Packets, testing::Values("10.50.0.1", "fd50::1"),
                         [](const auto& each) { return std::string(each.param).starts_with("fd") ? "ipv6" : "ipv4"; });

class GatewayMac : public Packets {};

TEST_P(GatewayMac, is_the_same_on_both_hosts_and_answered_at_once) {
  for (const int tap : {tap_a_.get(), tap_b_.get()}) {
    guest_->move(tap, 0ms);
    const auto asked = Clock::now();
    EXPECT_EQ(guest_->resolve(ip("169.254.1.1")), mac("ee:ee:ee:ee:ee:01"));
    EXPECT_LT(Clock::now() - asked, 500ms);
  }
}

TEST_P(GatewayMac, also_answers_for_any_other_address_without_the_kernels_random_delay) {
  for (int last = 100; last < 112; ++last) {
    const auto asked = Clock::now();
    EXPECT_EQ(guest_->resolve(ip(fmt::format("10.77.0.{}", last))), mac("ee:ee:ee:ee:ee:01"));
    EXPECT_LT(Clock::now() - asked, 500ms) << "by default up to 800 ms, at random";
  }
}

INSTANTIATE_TEST_SUITE_P(To, GatewayMac, testing::Values("10.50.0.1"));

}  // namespace
}  // namespace umbra::netswitch
