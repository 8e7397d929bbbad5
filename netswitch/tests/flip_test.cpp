#include "netswitch/flip.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>

#include "base/clock.hpp"
#include "netswitch/tests/node.hpp"

namespace umbra::netswitch {
namespace {

using test::ip;
using test::Node;
using test::some_vm;
using Place = Flip::Place;

const IpAddress kVm = ip("10.50.0.1");

/// A fleet of fake kernels: the VM is on A and shall move to B; C and two edges send to it.
class FlipOnFleet : public testing::Test {
 protected:
  static constexpr std::uint64_t kEpoch = 2;

  void SetUp() override {
    ASSERT_TRUE(a_.fabric.attach(some_vm()));
    VmNet awaited = some_vm();
    awaited.awaited = true;
    ASSERT_TRUE(b_.fabric.attach(awaited));
    ASSERT_TRUE(a_.fabric.point(some_vm().uuid, kVm, Hop::to_tap("uvm1"), 1));
    for (Node* other : {&b_, &c_, &edge1_, &edge2_})
      ASSERT_TRUE(other->fabric.point(some_vm().uuid, kVm, Hop::to_host(ip("10.77.0.1")), 1));
    for (Node* node : {&a_, &b_, &c_, &edge1_, &edge2_}) node->kernel.forget_changes();
  }

  /// @param delay how long the node's answer takes
  Flip::Step step(Place place, std::string name, Node& node, Hop hop, Milliseconds delay = Milliseconds(0)) {
    Flip::Step made{place, name, {}, {}};
    made.apply = [this, name, &node, hop, delay]() -> Task<void> { return point(name, node, hop, delay); };
    made.undo = [this, name, &node]() -> Task<void> { return unpoint(name, node); };
    return made;
  }
  std::vector<Flip::Step> steps() {
    const Hop to_b = Hop::to_host(ip("10.77.0.2"));
    // In no good order, and the edges answer at different times.
    std::vector<Flip::Step> all;
    all.push_back(step(Place::kOldHost, "A", a_, to_b));
    all.push_back(step(Place::kEdge, "edge1", edge1_, to_b, Milliseconds(4)));
    all.push_back(step(Place::kOtherHost, "C", c_, to_b));
    all.push_back(step(Place::kEdge, "edge2", edge2_, to_b, Milliseconds(1)));
    all.push_back(step(Place::kNewHost, "B", b_, Hop::to_tap("uvm1"), Milliseconds(2)));
    return all;
  }
  Task<void> point(std::string name, Node& node, Hop hop, Milliseconds delay) {
    log_.push_back(name + " asked");
    asio::steady_timer timer(io_, delay);
    co_await timer.async_wait(asio::use_awaitable);
    if (throwing_ == name) throw std::runtime_error("boom");
    const auto pointed = node.fabric.point(some_vm().uuid, kVm, hop, kEpoch);
    log_.push_back(name + (pointed ? " done" : " failed"));
    if (!pointed) co_return fail(pointed.error());
    if (deaf_ == name) co_return fail(Errc::kTimeout, "no answer");
    co_return Result<void>{};
  }
  Task<void> unpoint(std::string name, Node& node) {
    auto undone = node.fabric.undo(some_vm().uuid, kVm, kEpoch);
    log_.push_back(name + (undone ? " undone" : " not undone"));
    co_return undone;
  }
  Result<void> await(Task<void> task) {
    Result<void> result = fail(Errc::kInternal, "never ended");
    asio::co_spawn(io_, std::move(task), [&](std::exception_ptr exception, Result<void> ended) {
      if (exception) std::rethrow_exception(exception);
      result = std::move(ended);
    });
    io_.restart();
    io_.run();
    return result;
  }
  /// Where each node sends the VM's packets: A, B, C, edge1, edge2.
  std::string leads() {
    std::string text;
    for (Node* node : {&a_, &b_, &c_, &edge1_, &edge2_}) {
      const auto hop = node->fabric.where(kVm).value();
      text += !hop ? '-' : hop->local ? 'T' : hop->via == ip("10.77.0.1") ? 'A' : 'B';
    }
    return text;
  }
  std::size_t at(const std::string& line) {
    return static_cast<std::size_t>(std::find(log_.begin(), log_.end(), line) - log_.begin());
  }
  bool logged(const std::string& line) { return at(line) < log_.size(); }

  Node a_{"10.77.0.1"}, b_{"10.77.0.2"}, c_{"10.77.0.3"}, edge1_{"10.77.0.11"}, edge2_{"10.77.0.12"};
  asio::io_context io_;
  std::vector<std::string> log_;
  std::string deaf_;      // this node applies, and its answer is lost
  std::string throwing_;  // this node's step throws
};

TEST_F(FlipOnFleet, goes_from_the_new_host_over_the_edges_and_others_to_the_old_host) {
  Flip flip(steps());
  const auto ended = await(flip.run());
  ASSERT_TRUE(ended) << ended.error().text();
  EXPECT_EQ(log_, (std::vector<std::string>{"B asked", "B done", "edge1 asked", "edge2 asked", "edge2 done",
                                            "edge1 done", "C asked", "C done", "A asked", "A done"}));
  EXPECT_EQ(leads(), "BTBBB");
  for (Node* node : {&a_, &b_, &c_, &edge1_, &edge2_})
    EXPECT_EQ(node->kernel.changes().size(), 1U) << "one message each";
}

TEST_F(FlipOnFleet, abort_goes_back_in_reverse_order) {
  Flip flip(steps());
  ASSERT_TRUE(await(flip.run()));
  log_.clear();
  ASSERT_TRUE(await(flip.abort()));
  EXPECT_EQ(log_, (std::vector<std::string>{"A undone", "C undone", "edge1 undone", "edge2 undone", "B undone"}));
  EXPECT_EQ(leads(), "TAAAA");
}

TEST_F(FlipOnFleet, abort_may_be_repeated_and_done_by_another_flip_of_the_same_steps) {
  Flip flip(steps());
  ASSERT_TRUE(await(flip.run()));
  Flip after_a_crash(steps());
  ASSERT_TRUE(await(after_a_crash.abort()));
  ASSERT_TRUE(await(flip.abort()));
  EXPECT_EQ(leads(), "TAAAA");
}

TEST_F(FlipOnFleet, run_may_be_repeated) {
  Flip flip(steps());
  ASSERT_TRUE(await(flip.run()));
  ASSERT_TRUE(await(flip.run()));
  EXPECT_EQ(leads(), "BTBBB");
  ASSERT_TRUE(await(flip.abort()));
  EXPECT_EQ(leads(), "TAAAA") << "and still knows the way back";
}

TEST_F(FlipOnFleet, a_new_host_that_fails_leaves_all_others_untouched) {
  b_.kernel.fail_change(1, ENOBUFS);
  Flip flip(steps());
  const auto ended = await(flip.run());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::kExhausted);
  EXPECT_NE(ended.error().message.find("flip routes on B"), std::string::npos) << ended.error().text();
  EXPECT_FALSE(logged("edge1 asked"));
  EXPECT_FALSE(logged("A asked"));
  EXPECT_EQ(leads(), "TAAAA");
}

TEST_F(FlipOnFleet, an_edge_that_fails_takes_the_other_edge_and_the_new_host_back) {
  edge1_.kernel.fail_change(1, ENETDOWN);
  Flip flip(steps());
  const auto ended = await(flip.run());
  ASSERT_FALSE(ended);
  EXPECT_NE(ended.error().message.find("edge1"), std::string::npos);
  EXPECT_FALSE(logged("C asked"));
  EXPECT_FALSE(logged("A asked")) << "the old host never learnt of it";
  EXPECT_LT(at("edge2 undone"), at("B undone"));
  EXPECT_EQ(leads(), "TAAAA");
}

TEST_F(FlipOnFleet, the_old_host_that_fails_takes_everything_back) {
  a_.kernel.fail_change(1, ENOBUFS);
  Flip flip(steps());
  ASSERT_FALSE(await(flip.run()));
  EXPECT_LT(at("C undone"), at("edge1 undone"));
  EXPECT_EQ(leads(), "TAAAA");
}

class FlipWithALostAnswer : public FlipOnFleet, public testing::WithParamInterface<const char*> {};

TEST_P(FlipWithALostAnswer, takes_back_what_was_applied_all_the_same) {
  deaf_ = GetParam();
  Flip flip(steps());
  const auto ended = await(flip.run());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::kTimeout);
  EXPECT_TRUE(logged(deaf_ + " undone"));
  EXPECT_EQ(leads(), "TAAAA");
}

INSTANTIATE_TEST_SUITE_P(From, FlipWithALostAnswer, testing::Values("A", "B", "C", "edge1", "edge2"));

TEST_F(FlipOnFleet, a_step_that_throws_is_a_failed_step) {
  throwing_ = "C";
  Flip flip(steps());
  const auto ended = await(flip.run());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::kInternal);
  EXPECT_EQ(leads(), "TAAAA");
}

TEST_F(FlipOnFleet, an_undo_that_fails_stops_no_other_and_can_be_repeated) {
  a_.kernel.fail_change(1, ENOBUFS);
  edge1_.kernel.fail_change(2, ENETDOWN);
  Flip flip(steps());
  const auto ended = await(flip.run());
  ASSERT_FALSE(ended);
  EXPECT_NE(ended.error().message.find("restore routes on edge1"), std::string::npos) << ended.error().text();
  EXPECT_EQ(leads(), "TAABA");
  EXPECT_TRUE(await(flip.abort()));
  EXPECT_EQ(leads(), "TAAAA");
}

TEST_F(FlipOnFleet, without_edges_and_other_hosts_it_works_as_well) {
  auto all = steps();
  std::erase_if(all, [](const Flip::Step& one) { return one.place == Place::kEdge || one.place == Place::kOtherHost; });
  Flip flip(std::move(all));
  ASSERT_TRUE(await(flip.run()));
  EXPECT_EQ(leads(), "BTAAA");
}

}  // namespace
}  // namespace umbra::netswitch
