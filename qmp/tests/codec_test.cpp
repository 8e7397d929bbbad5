#include "qmp/codec.hpp"

#include <gtest/gtest.h>

namespace umbra::qmp {
namespace {

TEST(Codec, ReadsTheGreetingOfAQemu) {
  const auto message = parse_message(
      R"({"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}})");
  ASSERT_TRUE(message) << message.error().text();
  EXPECT_EQ(std::get<Greeting>(*message).version, (Version{10, 0, 2}));
}

TEST(Codec, ReadsAReplyAndItsId) {
  auto message = parse_message(R"({"return": {"status": "running", "novel": [1]}, "id": 7})");
  ASSERT_TRUE(message);
  const auto& reply = std::get<Reply>(*message);
  EXPECT_EQ(reply.id, 7U);
  ASSERT_TRUE(reply.result);
  EXPECT_EQ(reply.result->at("status").as_string(), "running");
}

TEST(Codec, TurnsErrorClassesIntoWhatTheCallerCanDo) {
  const auto code = [](std::string_view qemu_class) {
    const auto reply =
        parse_reply(fmt::format(R"({{"id": 1, "error": {{"class": "{}", "desc": "why"}}}})", qemu_class));
    return reply.value().result.error();
  };
  EXPECT_EQ(code("CommandNotFound").code, Errc::kUnsupported);
  EXPECT_EQ(code("DeviceNotFound").code, Errc::kNotFound);
  EXPECT_EQ(code("GenericError").code, Errc::kConflict);
  EXPECT_EQ(code("ClassOfTheFuture").code, Errc::kConflict);
  EXPECT_EQ(code("GenericError").message, "why");
}

Event event(std::string_view text) {
  auto message = parse_message(text);
  EXPECT_TRUE(message) << message.error().text();
  return message ? std::get<Event>(std::move(*message)) : Event{};
}

TEST(Codec, ReadsEventsWithQemusOwnTime) {
  const auto migration = event(
      R"({"timestamp": {"seconds": 1700000000, "microseconds": 250}, "event": "MIGRATION", "data": {"status": "pre-switchover"}})");
  EXPECT_EQ(migration.at.count(), 1'700'000'000'000'250);
  EXPECT_EQ(std::get<MigrationEvent>(migration.what).status, MigrationStatus::kPreSwitchover);

  const auto pass =
      event(R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION_PASS", "data": {"pass": 3}})");
  EXPECT_EQ(std::get<MigrationPassEvent>(pass.what).pass, 3U);

  const auto shutdown = event(
      R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}})");
  EXPECT_TRUE(std::get<ShutdownEvent>(shutdown.what).by_guest);
  EXPECT_EQ(std::get<ShutdownEvent>(shutdown.what).reason, "guest-shutdown");

  EXPECT_TRUE(std::holds_alternative<StopEvent>(
      event(R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"})").what));
  EXPECT_TRUE(std::holds_alternative<ResumeEvent>(
      event(R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"})").what));
  EXPECT_FALSE(
      std::get<ResetEvent>(
          event(R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": false}})").what)
          .by_guest);
}

TEST(Codec, KeepsUnknownEventsAndStatesAsOther) {
  const auto novel = event(R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NOVEL", "data": {"x": 1}})");
  EXPECT_EQ(novel.name, "NOVEL");
  EXPECT_TRUE(std::holds_alternative<OtherEvent>(novel.what));
  EXPECT_EQ(parse_migration_status("postcopy-active"), MigrationStatus::kOther);
  EXPECT_EQ(parse_run_state("colo"), RunState::kOther);
}

TEST(Codec, ToleratesAHostThatCannotTellTheTime) {
  EXPECT_EQ(event(R"({"timestamp": {"seconds": -1, "microseconds": -1}, "event": "STOP"})").at.count(), 0);
}

class Malformed : public testing::TestWithParam<std::string_view> {};

TEST_P(Malformed, MessageIsAnErrorThatSaysSo) {
  const auto message = parse_message(GetParam());
  ASSERT_FALSE(message) << GetParam();
  EXPECT_EQ(message.error().code, Errc::kCorrupt);
  EXPECT_FALSE(message.error().remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Codec, Malformed,
    testing::Values(
        "", "hello", "[]", "7", "{", R"({"return": })", R"({"id": 3})", R"({"QMP": {}})",
        R"({"QMP": {"version": {"qemu": {"major": "ten"}}}})", R"({"error": "text", "id": 1})",
        R"({"error": {"class": "GenericError"}, "id": 1})", R"({"error": {"class": 1, "desc": "x"}, "id": 1})",
        R"({"event": 7, "timestamp": {"seconds": 1, "microseconds": 2}})", R"({"event": "STOP"})",
        R"({"event": "STOP", "timestamp": {"seconds": "now", "microseconds": 2}})",
        R"({"event": "MIGRATION", "timestamp": {"seconds": 1, "microseconds": 2}})",
        R"({"event": "MIGRATION", "timestamp": {"seconds": 1, "microseconds": 2}, "data": {"status": 4}})",
        R"({"event": "MIGRATION_PASS", "timestamp": {"seconds": 1, "microseconds": 2}, "data": {"pass": -1}})",
        "{\"return\": {}, \"id\": 1} trailing", "\xff\xfe"));

TEST(Codec, WritesCommandsThatItCanReadBack) {
  EXPECT_EQ(encode_command("stop", {}, std::nullopt), R"({"execute":"stop"})");
  EXPECT_EQ(encode_command("migrate", {{"uri", "tcp:[::1]:1"}}, 9),
            R"({"execute":"migrate","arguments":{"uri":"tcp:[::1]:1"},"id":9})");
}

}  // namespace
}  // namespace umbra::qmp
