// What only the real kernel can show.
#include "netswitch/netlink_kernel.hpp"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <thread>

#include "netswitch/netlink_watch.hpp"
#include "netswitch/switch.hpp"
#include "netswitch/tests/addresses.hpp"
#include "netswitch/tests/namespace.hpp"
#include "netswitch/upkeep.hpp"

namespace umbra::netswitch {
namespace {

using test::File;
using test::ip;
using test::mac;
using test::Namespace;

class RealKernel : public testing::Test {
 protected:
  void SetUp() override {
    kernel_ = node_.inside([] { return NetlinkKernel::open().value(); });
    const VmNet vm{"uuid-1", "vm1", "uvm1", mac("52:54:00:00:00:01"), {ip("10.50.0.1"), ip("fd50::1")}, {}};
    const auto attached = node_.inside([&] { return Switch(*kernel_, {}).attach(vm); });
    ASSERT_TRUE(attached) << attached.error().text();
  }
  Namespace node_;
  std::unique_ptr<NetlinkKernel> kernel_;
};

/// As `ip route add blackhole` (or unreachable, prohibit) does.
void refuse_packets(const Namespace& node, const IpAddress& to, std::uint8_t prefix, unsigned char type) {
  const auto done = node.inside([&]() -> Result<void> {
    rtmsg header{};
    header.rtm_family = to.family();
    header.rtm_dst_len = prefix;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_STATIC;
    header.rtm_type = type;
    NetlinkMessage ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, header);
    ask.add(RTA_DST, to.bytes());
    UMBRA_TRY(auto socket, NetlinkSocket::open());
    return socket.request(ask, "refuse packets");
  });
  ASSERT_TRUE(done) << done.error().text();
}

TEST_F(RealKernel, a_wide_route_that_refuses_packets_does_not_hinder_a_vms_route) {
  // Usual on edges, so that packets for VMs that are nowhere do not follow the default route.
  for (const unsigned char type : {RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT}) {
    const int net = type * 4;
    refuse_packets(node_, ip(fmt::format("10.{}.0.0", net)), 16, type);
    refuse_packets(node_, ip(fmt::format("fd{}::", net)), 64, type);
    Switch fabric(*kernel_, {});
    for (const IpAddress& vm : {ip(fmt::format("10.{}.0.1", net)), ip(fmt::format("fd{}::1", net))}) {
      const auto pointed = fabric.point("uuid-1", vm, Hop::to_tap("uvm1"), 1);
      ASSERT_TRUE(pointed) << pointed.error().text();
      EXPECT_EQ(pointed->before, std::nullopt);
      EXPECT_EQ(fabric.where(vm).value(), Hop::to_tap("uvm1"));
    }
  }
}

TEST_F(RealKernel, a_foreign_route_that_refuses_packets_to_this_very_address_stays) {
  for (const IpAddress& vm : {ip("10.50.0.9"), ip("fd50::9")}) {
    refuse_packets(node_, vm, vm.bits(), RTN_BLACKHOLE);
    const auto pointed = Switch(*kernel_, {}).point("uuid-1", vm, Hop::to_tap("uvm1"), 1);
    ASSERT_FALSE(pointed) << vm.to_string();
    EXPECT_EQ(pointed.error().code, Errc::kConflict);
  }
}

/// Types and flags of the route changes that the kernel announces.
class Monitor {
 public:
  explicit Monitor(rtnetlink_groups group) : socket_(nl_socket_alloc()) {
    nl_socket_disable_seq_check(socket_);
    nl_connect(socket_, NETLINK_ROUTE);
    nl_socket_add_membership(socket_, group);
    nl_socket_set_nonblocking(socket_);
    nl_socket_modify_cb(
        socket_, NL_CB_VALID, NL_CB_CUSTOM,
        [](nl_msg* message, void* seen) {
          const auto* header = nlmsg_hdr(message);
          static_cast<Seen*>(seen)->emplace_back(header->nlmsg_type, header->nlmsg_flags & NLM_F_REPLACE);
          return static_cast<int>(NL_OK);
        },
        &seen_);
  }
  ~Monitor() { nl_socket_free(socket_); }
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  using Seen = std::vector<std::pair<int, int>>;
  Seen seen() {
    while (nl_recvmsgs_default(socket_) >= 0) {
    }
    return std::exchange(seen_, {});
  }

 private:
  nl_sock* socket_;
  Seen seen_;
};

TEST_F(RealKernel, replaces_a_route_in_one_message_and_never_deletes_it) {
  kernel_->change_link("lo", {.up = true});
  for (const auto& [vm, group] :
       {std::pair(ip("10.50.0.1"), RTNLGRP_IPV4_ROUTE), std::pair(ip("fd50::1"), RTNLGRP_IPV6_ROUTE)}) {
    ASSERT_TRUE(kernel_->replace_route({vm, "uvm1", {}, 117}));
    const auto monitor = node_.inside([group = group] { return std::make_unique<Monitor>(group); });
    ASSERT_TRUE(kernel_->replace_route({vm, "lo", {}, 117}));
    EXPECT_EQ(monitor->seen(), (Monitor::Seen{{RTM_NEWROUTE, NLM_F_REPLACE}})) << vm.to_string();
  }
}

TEST_F(RealKernel, takes_away_a_tap_that_qemu_still_holds) {
  const auto queue = node_.open_tap("uvm1");
  ASSERT_TRUE(kernel_->replace_route({ip("10.50.0.1"), "uvm1", {}, 117}));
  const auto detached = Switch(*kernel_, {}).detach("uuid-1");
  ASSERT_TRUE(detached) << detached.error().text();
  EXPECT_EQ(kernel_->link("uvm1").error().code, Errc::kNotFound);
  EXPECT_TRUE(kernel_->routes(117)->empty());
  char byte = 0;
  EXPECT_EQ(read(queue.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EBADFD);
}

TEST_F(RealKernel, counts_what_the_guest_sends) {
  const auto queue = node_.open_tap("uvm1");
  const std::array<char, 60> frame{};
  ASSERT_EQ(write(queue.get(), frame.data(), frame.size()), 60);
  const auto counters = kernel_->link("uvm1")->counters;
  EXPECT_EQ(counters.rx_packets, 1U);
  EXPECT_EQ(counters.rx_bytes, 60U);
}

/// What waits in a tap that nobody reads.
class Queue : public RealKernel {
 protected:
  void SetUp() override {
    RealKernel::SetUp();
    tap_ = node_.open_tap("uvm1");
    read_all();
  }
  /// Sends numbered datagrams, as fast as it can or with a gap between them.
  void send(std::uint32_t count, std::chrono::microseconds gap = {}) {
    node_.inside([&] {
      const File to(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      const int room = 1 << 28;  // what waits in the tap counts as the sender's
      ASSERT_EQ(setsockopt(to.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room), 0);
      sockaddr_in guest{};
      guest.sin_family = AF_INET;
      guest.sin_port = htons(7);
      std::memcpy(&guest.sin_addr, kAddress.bytes().data(), 4);
      auto next = std::chrono::steady_clock::now();
      for (std::uint32_t number = 0; number < count; ++number) {
        ASSERT_EQ(sendto(to.get(), &number, sizeof number, 0, reinterpret_cast<sockaddr*>(&guest), sizeof guest), 4);
        if (gap.count() > 0) std::this_thread::sleep_until(next += gap);
      }
    });
  }
  struct Read {
    std::size_t frames = 0, datagrams = 0;  // the kernel itself sends some frames too
  };
  Read read_all() {
    constexpr std::size_t kDatagram = 14 + 20 + 8 + 4;
    std::array<std::uint8_t, 2048> frame{};
    Read found;
    for (ssize_t size = 0; (size = read(tap_.get(), frame.data(), frame.size())) > 0; ++found.frames)
      found.datagrams += static_cast<std::size_t>(size) == kDatagram && frame[12] == 8 && frame[13] == 0;
    return found;
  }
  double holds() {
    send(30'000);
    return static_cast<double>(read_all().frames);
  }
  std::uint32_t length() { return kernel_->link("uvm1")->queue_length; }
  void point(Switch& fabric, std::uint64_t epoch) {
    const auto pointed = fabric.point("uuid-1", kAddress, Hop::to_tap("uvm1"), epoch);
    ASSERT_TRUE(pointed) << pointed.error().text();
  }

  /// Linux frees the places of frames that were read a few at a time (ptr_ring.h), and sends some frames itself.
  static constexpr double kBatch = 16;
  const IpAddress kAddress = ip("10.50.0.1");
  const VmNet vm_{"uuid-1", "vm1", "uvm1", mac("52:54:00:00:00:01"), {kAddress, ip("fd50::1")}, {}};
  File tap_;
};

TEST_F(Queue, holds_what_20000_packets_a_second_send_in_a_second_once_a_flip_leads_to_the_tap) {
  Switch fabric(*kernel_, {});
  ASSERT_TRUE(node_.inside([&] { return fabric.attach(vm_); }));
  point(fabric, 1);
  EXPECT_NEAR(holds(), 20'000U, kBatch);
}

TEST_F(Queue, of_an_awaited_vm_is_long_before_qemu_opens_the_tap) {
  Switch fabric(*kernel_, {});
  const VmNet awaited{"uuid-2", "vm2", "uvm2", mac("52:54:00:00:00:02"), {ip("10.50.0.2")}, {}, true};
  ASSERT_TRUE(node_.inside([&] { return fabric.attach(awaited); }));
  tap_ = node_.open_tap("uvm2");
  ASSERT_TRUE(fabric.point("uuid-2", ip("10.50.0.2"), Hop::to_tap("uvm2"), 1));
  ASSERT_TRUE(kernel_->replace_neighbour({"uvm2", kAddress, awaited.guest_mac}));
  ASSERT_TRUE(kernel_->replace_route({kAddress, "uvm2", {}, 117}));
  EXPECT_NEAR(holds(), 20'000U, kBatch);
}

TEST_F(Queue, is_the_ordinary_one_again_after_an_abort) {
  Switch fabric(*kernel_, {});
  ASSERT_TRUE(node_.inside([&] { return fabric.attach(vm_); }));
  point(fabric, 1);
  ASSERT_TRUE(fabric.undo("uuid-1", kAddress, 1));
  EXPECT_EQ(length(), 4096U);
  ASSERT_TRUE(fabric.serve("uuid-1", kAddress, 2));
  EXPECT_NEAR(holds(), 4096U, kBatch);
}

TEST_F(Queue, is_put_back_without_loss_while_packets_come) {
  node_.set_discipline("uvm1", "noqueue");  // as libvirt does when it starts a QEMU
  Switch fabric(*kernel_, {});
  ASSERT_TRUE(node_.inside([&] { return fabric.attach(vm_); }));
  point(fabric, 1);
  const bool resizable = kernel_->link("uvm1")->resizable;
  constexpr std::uint32_t kPackets = 2'000;
  std::thread traffic([&] { send(kPackets, std::chrono::microseconds(50)); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_TRUE(fabric.settle("uuid-1"));
  traffic.join();
  EXPECT_EQ(read_all().datagrams, kPackets);
  EXPECT_EQ(length(), resizable ? 4096U : 20'000U) << "before Linux 6.14 it cannot be done without loss";
  EXPECT_NEAR(holds(), length(), kBatch);
}

TEST_F(Queue, stays_where_a_queueing_discipline_would_lose_what_comes_meanwhile) {
  node_.set_discipline("uvm1", "pfifo_fast");
  Switch fabric(*kernel_, {});
  ASSERT_TRUE(node_.inside([&] { return fabric.attach(vm_); }));
  point(fabric, 1);
  ASSERT_TRUE(fabric.settle("uuid-1"));
  EXPECT_EQ(length(), 20'000U);
  EXPECT_EQ(fabric.unsettled(), std::vector<std::string>{"uuid-1"});
}

TEST_F(Queue, of_a_flip_in_an_earlier_life_of_the_agent_is_known_and_put_back) {
  node_.set_discipline("uvm1", "noqueue");
  {
    Switch before(*kernel_, {});
    ASSERT_TRUE(node_.inside([&] { return before.attach(vm_); }));
    point(before, 7);
  }
  Switch fabric(*kernel_, {});
  ASSERT_TRUE(fabric.adopt());
  send(10'000);
  ASSERT_TRUE(node_.inside([&] { return fabric.attach(vm_); }));
  ASSERT_TRUE(fabric.reconcile({{"uuid-1", kAddress, Hop::to_tap("uvm1"), 7}}, true));
  EXPECT_EQ(read_all().datagrams, 10'000U) << "what waited while the agent was restarted";
  EXPECT_EQ(fabric.unsettled(), std::vector<std::string>{"uuid-1"});
  ASSERT_TRUE(fabric.settle("uuid-1"));
  EXPECT_EQ(length(), kernel_->link("uvm1")->resizable ? 4096U : 20'000U);
}

TEST_F(RealKernel, lists_thousands_of_routes_whole) {
  for (unsigned i = 0; i < 3000; ++i) {
    ASSERT_TRUE(kernel_->replace_route({ip(fmt::format("10.60.{}.{}", i / 250, i % 250 + 1)), "uvm1", {}, 117}));
  }
  EXPECT_EQ(kernel_->routes(117)->size(), 3000U);
}

/// Runs what is ready, and waits for what is about to be.
template <class Condition>
bool within(asio::io_context& io, std::chrono::milliseconds patience, Condition condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition() && std::chrono::steady_clock::now() < end) {
    io.restart();
    io.run_for(std::chrono::milliseconds(5));
  }
  return condition();
}

TEST_F(RealKernel, tells_that_more_was_changed_than_the_buffer_holds) {
  asio::io_context io;
  Changes told;
  const auto watch = node_.inside([&] {
    return NetlinkWatch::open(io.get_executor(),
                              {[](const IpAddress&) { return true; }, [&](const Changes& changes) { told |= changes; }},
                              0, 4096);
  });
  ASSERT_TRUE(watch) << watch.error().text();
  for (unsigned i = 0; i < 1000; ++i)
    ASSERT_TRUE(kernel_->replace_route({ip(fmt::format("10.60.{}.{}", i / 250, i % 250 + 1)), "uvm1", {}, 117}));
  EXPECT_TRUE(within(io, std::chrono::seconds(5), [&] { return told.lost; }));
  told = {};
  ASSERT_TRUE(kernel_->delete_route(ip("10.60.0.1"), 117));
  EXPECT_TRUE(within(io, std::chrono::seconds(5), [&] { return told.routes; })) << "and goes on";
}

TEST_F(RealKernel, is_kept_as_it_should_be_by_the_kernels_own_notifications) {
  SystemClock clock;
  asio::io_context io;
  Switch fabric(*kernel_, {});
  const VmNet vm{"uuid-1", "vm1", "uvm1", mac("52:54:00:00:00:01"), {ip("10.50.0.1"), ip("fd50::1")}, {}};
  std::vector<std::string> told;
  Upkeep upkeep(io.get_executor(), clock, *kernel_, fabric,
                [&](Upkeep::Tone, const std::string&, const std::string& text) { told.push_back(text); });
  node_.inside([&] {  // the watch is of this thread's namespace
    ASSERT_TRUE(fabric.attach(vm));
    for (const IpAddress& address : vm.addresses) ASSERT_TRUE(fabric.serve("uuid-1", address, 1));
    asio::co_spawn(io, upkeep.run(), asio::detached);
    io.poll();
    const auto whole = [&] { return fabric.inspect()->empty(); };
    const auto other = NetlinkKernel::open().value();
    ASSERT_TRUE(other->delete_route(ip("10.50.0.1"), 117));
    EXPECT_TRUE(within(io, std::chrono::seconds(5), whole));
    ASSERT_TRUE(other->delete_neighbour("uvm1", ip("fd50::1")));
    EXPECT_TRUE(within(io, std::chrono::seconds(5), whole));
    ASSERT_TRUE(other->change_link("uvm1", {.mac = mac("02:00:00:00:00:09"), .up = false}));
    EXPECT_TRUE(within(io, std::chrono::seconds(5), whole));
    ASSERT_TRUE(other->delete_link("uvm1"));
    EXPECT_TRUE(within(io, std::chrono::seconds(5), whole));
    EXPECT_FALSE(told.empty());
    upkeep.stop();
    io.restart();
    io.poll();
  });
}

TEST_F(RealKernel, names_the_missing_capability) {
  const auto refused = node_.inside([&] {
    // Of this thread alone: the C library's own setresuid() would change all.
    EXPECT_EQ(syscall(SYS_setresuid, 65534, 65534, 65534), 0);
    return std::vector{kernel_->replace_route({ip("10.50.0.2"), "uvm1", {}, 117}), kernel_->create_tap("uvm2", {})};
  });
  for (const auto& one : refused) {
    ASSERT_FALSE(one);
    EXPECT_EQ(one.error().code, Errc::kUnsupported);
    EXPECT_NE(one.error().remedy.find("CAP_NET_ADMIN"), std::string::npos) << one.error().text();
  }
}

TEST_F(RealKernel, needs_no_more_than_that_capability) {
  const VmNet vm{"uuid-2", "vm2", "uvm2", mac("52:54:00:00:00:02"), {ip("10.50.0.2"), ip("fd50::2")}, {}};
  const auto done = node_.inside([&]() -> Result<void> {
    // As umbra-agentd.service starts the agent: another user, this capability alone. Again of this thread alone.
    EXPECT_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    EXPECT_EQ(syscall(SYS_setresuid, 65534, 65534, 65534), 0);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const std::array<__user_cap_data_struct, 2> alone{{{1U << CAP_NET_ADMIN, 1U << CAP_NET_ADMIN, 0}, {}}};
    EXPECT_EQ(syscall(SYS_capset, &header, alone.data()), 0);
    UMBRA_TRY(auto kernel, NetlinkKernel::open());
    Switch fabric(*kernel, {});
    UMBRA_CHECK(fabric.attach(vm));
    UMBRA_CHECK(fabric.point("uuid-2", ip("10.50.0.2"), Hop::to_tap("uvm2"), 1));
    return fabric.detach("uuid-2");
  });
  EXPECT_TRUE(done) << done.error().text();
}

TEST_F(RealKernel, explains_refusals_in_the_kernels_own_words) {
  const auto set = kernel_->replace_route({ip("10.50.0.2"), "", ip("192.0.2.1"), 117});
  ASSERT_FALSE(set);
  EXPECT_NE(set.error().message.find("gateway"), std::string::npos) << set.error().text();
}

TEST_F(RealKernel, an_address_of_the_node_itself_cannot_be_a_vms) {
  ASSERT_TRUE(kernel_->add_address("uvm1", ip("10.50.0.7"), 32));
  const auto pointed = Switch(*kernel_, {}).point("uuid-1", ip("10.50.0.7"), Hop::to_tap("uvm1"), 1);
  ASSERT_FALSE(pointed);
  EXPECT_EQ(pointed.error().code, Errc::kConflict);
}

}  // namespace
}  // namespace umbra::netswitch
