#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <limits>

#include "cli/output/causes.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"
#include "cli/output/words.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Table, AlignsColumnsAndLeavesNoBlanksAtTheEnd) {
  Table table({"NAME", {"MEMORY", Table::Align::kRight}, "STATE"});
  table.add({"web1", "256 MiB", "running"});
  table.add({"database", "1.00 GiB", ""});
  EXPECT_EQ(table.render(false),
            "NAME        MEMORY  STATE\n"
            "web1       256 MiB  running\n"
            "database  1.00 GiB  -\n");
}

TEST(Table, CountsWhatTheTerminalShowsNotBytes) {
  EXPECT_EQ(display_width("café"), 4U);
  EXPECT_EQ(display_width("cafe\xCC\x81"), 4U) << "a combining accent takes no column";
  EXPECT_EQ(display_width("仮想"), 4U);
  EXPECT_EQ(display_width("\xFF\xC3"), 2U) << "broken UTF-8 is one column a byte";
  EXPECT_EQ(fit("仮想機械", 5), "仮想");
  Table table({"NAME", "STATE"});
  table.add({"仮想", "running"});
  table.add({"café", "paused"});
  EXPECT_EQ(table.render(false), "NAME  STATE\n仮想  running\ncafé  paused\n");
}

TEST(Table, NamesSortAsPeopleCount) {
  std::vector<std::string> names{"host10", "host2", "host", "a1b10", "a1b9", "host02"};
  std::ranges::sort(names, natural_less);
  EXPECT_THAT(names, testing::ElementsAre("a1b9", "a1b10", "host", "host02", "host2", "host10"));
}

TEST(Table, QuantitiesSortByTheirNumberAndWhatIsUnknownComesLast) {
  const Cell small{"512 MiB", 512}, large{"1.00 GiB", 1024}, unknown{"-"};
  EXPECT_TRUE(sorts_before(small, large, false));
  EXPECT_TRUE(sorts_before(large, small, true));
  for (const bool reverse : {false, true}) {
    EXPECT_TRUE(sorts_before(small, unknown, reverse));
    EXPECT_FALSE(sorts_before(unknown, small, reverse));
    EXPECT_FALSE(sorts_before(unknown, unknown, reverse));
  }
}

TEST(Table, TheLeastImportantColumnGivesWayWhereRoomIsShort) {
  Table table({"NAME", {"DETAIL", Table::Align::kLeft, 1}, {"SIZE", Table::Align::kRight, 2}, "IS"});
  table.add({"web1", "waits for room", "256", "warm"});
  EXPECT_EQ(table.render(false, 32), table.render(false)) << "it fits";
  EXPECT_EQ(table.render(false, 31), "NAME  DETAIL          IS\nweb1  waits for room  warm\n")
      << "a number is left out rather than cut";
  EXPECT_EQ(table.render(false, 20), "NAME  DETAIL    IS\nweb1  waits f…  warm\n");
  EXPECT_EQ(table.render(false, 11), "NAME  IS\nweb1  warm\n");
}

TEST(Table, ColourDoesNotMoveColumns) {
  Table table({"NAME", "STATE"});
  table.add({"host1", Cell("up", Style::kGood)});
  EXPECT_EQ(table.render(true), "\x1b[1mNAME\x1b[0m   \x1b[1mSTATE\x1b[0m\nhost1  \x1b[32mup\x1b[0m\n");
}

TEST(Table, ANameFromTheNetworkCannotSteerTheTerminal) {
  Table table({"NAME"});
  table.add({"web1\x1b[2J\n"});
  EXPECT_EQ(table.render(false), "NAME\nweb1\\x1b[2J\\n\n");
  EXPECT_EQ(printable("a\xC2\x9B"
                      "b"),
            "a\\u{9b}b")
      << "C1 control sequence introducer";
}

TEST(Json, MessagesKeepTheirProtoNamesAndRealNumbers) {
  v1::ListVmsReply reply;
  auto& view = *reply.add_vms();
  view.mutable_vm()->set_name("web1");
  view.mutable_vm()->set_memory_bytes(std::uint64_t{1} << 53);
  view.mutable_vm()->set_state(v1::VM_STATE_SHUT_OFF);
  view.set_migration_probability(0.125);
  view.set_tier(v1::TIER_WARM);
  view.mutable_last_sample()->set_at_unix_ms(1'777'636'800'000);
  const auto text = serialize(to_json(reply));
  EXPECT_THAT(text, HasSubstr("\"memory_bytes\":9007199254740992,"));
  EXPECT_THAT(text, HasSubstr("\"state\":\"shut_off\""));
  EXPECT_THAT(text, HasSubstr("\"tier\":\"warm\""));
  EXPECT_THAT(text, HasSubstr("\"migration_probability\":0.125"));
  EXPECT_THAT(text, HasSubstr("\"pinned\":false")) << "defaults are written too";
  EXPECT_THAT(text, HasSubstr("\"shadow\":null"));
  EXPECT_THAT(text, HasSubstr("\"dirty_bytes_per_second\":null")) << "unset optional";
  EXPECT_THAT(text, HasSubstr("\"causes\":[]"));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  EXPECT_NO_THROW(boost::json::parse(text));
}

TEST(Json, EscapesTextAndHasNoInfinity) {
  v1::Event event;
  event.set_text("a \"quoted\"\nline \x01");
  EXPECT_THAT(serialize(to_json(event)), HasSubstr(R"("text":"a \"quoted\"\nline \u0001")"));
  v1::VmView view;
  view.set_migration_probability(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(serialize(to_json(view)), HasSubstr("\"migration_probability\":null"));
}

TEST(Json, EnumValuesOfANewerControllerShowTheirNumber) {
  v1::Shadow shadow;
  shadow.set_phase(static_cast<v1::ShadowPhase>(77));
  EXPECT_THAT(serialize(to_json(shadow)), HasSubstr("\"phase\":\"77\""));
  EXPECT_EQ(word(v1::OUTCOME_UNDECIDED), "undecided");
  EXPECT_EQ(word(v1::SHADOW_PHASE_PRECOPY), "precopy");
}

std::vector<double> shares_of(std::initializer_list<double> probabilities) {
  v1::VmView view;
  for (const auto probability : probabilities) view.add_causes()->set_probability(probability);
  return shares(view.causes());
}

TEST(Causes, SharesAddUpToOneAndFollowTheNoisyOr) {
  using testing::DoubleNear;
  using testing::ElementsAre;
  EXPECT_THAT(shares_of({0.5, 0.5}), ElementsAre(0.5, 0.5));
  EXPECT_THAT(shares_of({0.75, 0.5, 0}), ElementsAre(DoubleNear(2.0 / 3, 1e-9), DoubleNear(1.0 / 3, 1e-9), 0));
  EXPECT_THAT(shares_of({1, 0.9, 1}), ElementsAre(0.5, 0, 0.5)) << "what is certain leaves nothing to the rest";
  EXPECT_THAT(shares_of({0, 0}), ElementsAre(0, 0));
  EXPECT_TRUE(shares_of({}).empty());
}

TEST(Words, AgesSpansAndProbabilitiesReadAsPeopleSayThem) {
  constexpr UnixMillis kNow = 1'777'636'800'000;
  EXPECT_EQ(age(kNow - 3'400, kNow), "3 s ago");
  EXPECT_EQ(age(kNow - 5 * 60'000, kNow), "5 min ago");
  EXPECT_EQ(age(kNow - 50 * 3'600'000LL, kNow), "2 d ago");
  EXPECT_EQ(age(kNow + 20 * 60'000, kNow), "in 20 min");
  EXPECT_EQ(age(0, kNow), "never");
  EXPECT_EQ(span(11.84), "11.8 ms");
  EXPECT_EQ(span(740.4), "740 ms");
  EXPECT_EQ(span(2'400), "2.40 s");
  EXPECT_EQ(span(5'000), "5 s");
  EXPECT_EQ(span(59'400), "59 s");
  EXPECT_EQ(span(200'000), "3 min 20 s");
  EXPECT_EQ(span(3'900'000), "1 h 5 min");
  EXPECT_EQ(span(183'600'000), "2 d 3 h");
  EXPECT_EQ(span(7'200'000), "2 h");
  EXPECT_EQ(percent(0.618), "62 %");
  EXPECT_EQ(percent(0), "0 %");
  EXPECT_EQ(percent(0.0004), "<1 %");
  EXPECT_EQ(percent(0.999), ">99 %");
  EXPECT_EQ(percent(1), "100 %");
}

}  // namespace
}  // namespace umbra::cli
