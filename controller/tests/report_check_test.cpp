#include "controller/inventory/report_check.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <limits>

#include "base/temporary_directory.hpp"

namespace umbra::controller {
namespace {

constexpr auto kOne = "11111111-2222-3333-4444-555555555501", kTwo = "11111111-2222-3333-4444-555555555502";
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinite = std::numeric_limits<double>::infinity();

class ReportCheckTest : public testing::Test {
 protected:
  v1::ReportRequest sifted(v1::ReportRequest report, v1::Role role = v1::ROLE_AGENT) {
    check.sift("host1", role, report);
    return report;
  }
  v1::VmSample sample(const std::string& uuid) {
    v1::VmSample one;
    one.set_vm_uuid(uuid);
    one.set_at_unix_ms(clock.unix_ms());
    one.set_cpus_used(0.5);
    return one;
  }
  v1::ReportRequest with_vm(const std::string& uuid) {
    v1::ReportRequest report;
    report.set_vms_known(true);
    auto* vm = report.add_vms();
    vm->set_uuid(uuid);
    vm->set_name("web1");
    return report;
  }
  std::uint64_t faults() {
    std::uint64_t all = 0;
    for (const auto& [what, count] : check.faults("host1")) all += count;
    return all;
  }
  std::size_t told() { return events.events(1000, "", 0).value().size(); }

  TemporaryDirectory directory = TemporaryDirectory::make("umbra-report-check-").value();
  asio::io_context io;
  FakeClock clock;
  std::unique_ptr<Store> store = std::move(*Store::open(directory.path()));
  EventLog events{store->log, clock, io.get_executor()};
  std::unique_ptr<Inventory> inventory =
      std::move(*Inventory::load(*store, events, clock, io.get_executor(), HeartbeatSettings{}));
  ReportCheck check{*inventory, events, clock};
};

TEST_F(ReportCheckTest, an_honest_report_is_left_as_it_is) {
  auto report = with_vm(kOne);
  report.mutable_vms(0)->add_addresses("10.0.0.1");
  report.mutable_vms(0)->add_addresses("fd00::1");
  *report.add_samples() = sample(kOne);
  auto* event = report.add_events();
  event->set_kind(v1::EVENT_KIND_SHADOW);
  event->set_at_unix_ms(clock.unix_ms());
  event->set_actor("agent host1");
  event->set_text("shadow staged");
  auto* shadow = report.add_shadows();
  shadow->set_vm_uuid(kOne);
  shadow->set_source("host1");
  const auto before = report.SerializeAsString();
  EXPECT_EQ(sifted(report).SerializeAsString(), before);
  EXPECT_EQ(faults(), 0u);
  EXPECT_EQ(told(), 0u);
}

TEST_F(ReportCheckTest, uuids_are_uuids) {
  EXPECT_TRUE(is_uuid(kOne));
  for (const auto* text : {"", "uuid", "../../etc/passwd", "11111111-2222-3333-4444-55555555550",
                           "11111111-2222-3333-4444-5555555555011", "11111111x2222-3333-4444-555555555501",
                           "ABCDEF11-2222-3333-4444-555555555501", "1111111122223333444455555555550100--"})
    EXPECT_FALSE(is_uuid(text)) << text;
}

TEST_F(ReportCheckTest, one_bad_vm_costs_only_itself) {
  auto report = with_vm("not a uuid");
  report.MergeFrom(with_vm(kOne));
  report.MergeFrom(with_vm(kOne));
  report.MergeFrom(with_vm(kTwo));
  const auto left = sifted(report);
  ASSERT_EQ(left.vms_size(), 2);
  EXPECT_EQ(left.vms(0).uuid(), kOne);
  EXPECT_EQ(left.vms(1).uuid(), kTwo);
  EXPECT_TRUE(left.vms_known());
  EXPECT_EQ(faults(), 2u);
  EXPECT_EQ(told(), 2u) << "a bad uuid, and one listed twice";
}

TEST_F(ReportCheckTest, an_edge_has_no_vms) {
  auto report = with_vm(kOne);
  *report.add_samples() = sample(kOne);
  report.add_shadows()->set_vm_uuid(kOne);
  report.add_cutovers()->set_vm_uuid(kOne);
  report.add_served()->set_vm_uuid(kOne);
  report.add_definitions()->set_vm_uuid(kOne);
  const auto left = sifted(report, v1::ROLE_EDGE);
  EXPECT_FALSE(left.vms_known());
  EXPECT_EQ(left.vms_size() + left.samples_size() + left.shadows_size() + left.cutovers_size() + left.served_size() +
                left.definitions_size(),
            0);
  EXPECT_EQ(faults(), 6u);
}

TEST_F(ReportCheckTest, too_many_vms_are_not_taken_for_some_that_are_gone) {
  v1::ReportRequest report;
  report.set_vms_known(true);
  for (int i = 0; i <= ReportLimits::kVms; ++i) report.add_vms();
  EXPECT_FALSE(sifted(report).vms_known());
}

TEST_F(ReportCheckTest, figures_that_are_none_are_refused_one_by_one) {
  auto report = with_vm(kOne);
  for (const double bad : {kNan, kInfinite, -kInfinite, -1.0, 1e300}) {
    *report.add_samples() = sample(kOne);
    report.mutable_samples()->rbegin()->set_cpus_used(bad);
    *report.add_samples() = sample(kOne);
    report.mutable_samples()->rbegin()->set_dirty_bytes_per_second(bad);
  }
  *report.add_samples() = sample(kOne);
  auto* shadow = report.add_shadows();
  shadow->set_vm_uuid(kOne);
  shadow->set_source("host1");
  shadow->set_phase(v1::SHADOW_PHASE_WARM);
  shadow->set_rate_bytes_per_second(kNan);
  const auto left = sifted(report);
  EXPECT_EQ(left.samples_size(), 1);
  ASSERT_EQ(left.shadows_size(), 1) << "the shadow is there, whatever its rate";
  EXPECT_EQ(left.shadows(0).rate_bytes_per_second(), 0);
  EXPECT_EQ(faults(), 11u);
}

TEST_F(ReportCheckTest, a_capacity_that_no_host_has_does_not_replace_one_that_was_believed) {
  v1::ReportRequest report;
  report.mutable_capacity()->set_cpus(8);
  report.mutable_capacity()->set_memory_total_bytes(1 << 30);
  report.mutable_capacity()->set_memory_free_bytes(1 << 20);
  EXPECT_TRUE(sifted(report).has_capacity());
  auto bad = report;
  bad.mutable_capacity()->set_cpus(kNan);
  EXPECT_FALSE(sifted(bad).has_capacity());
  bad = report;
  bad.mutable_capacity()->set_memory_free_bytes(2ULL << 30);
  EXPECT_FALSE(sifted(bad).has_capacity());
}

TEST_F(ReportCheckTest, nobody_but_the_controller_writes_the_audit_or_in_anothers_name) {
  v1::ReportRequest report;
  for (const auto kind : {v1::EVENT_KIND_AUDIT, v1::EVENT_KIND_DECISION, v1::EVENT_KIND_ZONE, v1::EVENT_KIND_HOST}) {
    auto* event = report.add_events();
    event->set_kind(kind);
    event->set_actor("ops");
    event->set_text("deleted everything");
  }
  const auto left = sifted(report);
  ASSERT_EQ(left.events_size(), 1);
  EXPECT_EQ(left.events(0).kind(), v1::EVENT_KIND_HOST);
  EXPECT_EQ(left.events(0).actor(), "agent host1");
  EXPECT_EQ(faults(), 4u);
}

TEST_F(ReportCheckTest, samples_of_vms_elsewhere_are_counted_and_not_taken) {
  v1::ReportRequest report;
  *report.add_samples() = sample(kTwo);
  EXPECT_EQ(sifted(report).samples_size(), 0);
  EXPECT_EQ(faults(), 1u);
  EXPECT_EQ(told(), 0u) << "after a move the old host tells some, and nobody needs to look";
}

TEST_F(ReportCheckTest, times_from_the_future_are_none) {
  auto report = with_vm(kOne);
  *report.add_samples() = sample(kOne);
  report.mutable_samples(0)->set_at_unix_ms(clock.unix_ms() + 3'600'000);
  EXPECT_EQ(sifted(report).samples_size(), 0);
}

TEST_F(ReportCheckTest, cutovers_are_the_sources_own_and_in_an_epoch_that_can_be) {
  v1::ReportRequest report;
  const auto add = [&](const std::string& from, std::uint64_t epoch) {
    auto* result = report.add_cutovers();
    result->set_vm_uuid(kOne);
    result->set_from(from);
    result->set_epoch(epoch);
    result->set_blackout_ms(kNan);
  };
  add("host1", 7);
  add("host2", 7);
  add("host1", 1ULL << 60);
  const auto left = sifted(report);
  ASSERT_EQ(left.cutovers_size(), 1);
  EXPECT_EQ(left.cutovers(0).epoch(), 7u);
  EXPECT_EQ(left.cutovers(0).blackout_ms(), 0);
}

TEST_F(ReportCheckTest, an_epoch_far_beyond_the_controllers_is_not_believed) {
  v1::RegisterRequest request;
  for (const std::uint64_t epoch : {5ULL, 1ULL << 53, ~0ULL}) {
    auto* known = request.add_known_epochs();
    known->set_vm_uuid(kOne);
    known->set_epoch(epoch);
  }
  check.sift("host1", v1::ROLE_AGENT, request);
  ASSERT_EQ(request.known_epochs_size(), 1);
  EXPECT_EQ(request.known_epochs(0).epoch(), 5u);
}

TEST_F(ReportCheckTest, texts_are_cut_between_characters) {
  v1::ReportRequest report;
  auto* event = report.add_events();
  event->set_kind(v1::EVENT_KIND_HOST);
  std::string text(ReportLimits::kText - 1, 'x');
  event->set_text(text + "\xc3\xa4");
  EXPECT_EQ(sifted(report).events(0).text(), text);
}

TEST_F(ReportCheckTest, who_keeps_on_is_told_of_once_a_minute) {
  for (int i = 0; i < 10; ++i) sifted(with_vm("no uuid"));
  EXPECT_EQ(told(), 1u);
  EXPECT_EQ(faults(), 10u);
  clock.advance(std::chrono::minutes(1));
  sifted(with_vm("no uuid"));
  EXPECT_EQ(told(), 2u);
}

}  // namespace
}  // namespace umbra::controller
