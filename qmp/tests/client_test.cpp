#include "qmp/client.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "qmp/tests/run.hpp"

namespace umbra::qmp {
namespace {
using namespace std::chrono_literals;
namespace json = boost::json;

/// Answers every command alike, and remembers the last one.
struct Scripted final : Transport {
  Result<json::value> answer;
  std::string command, arguments;

  explicit Scripted(std::string_view text) : answer(json::parse({text.data(), text.size()})) {}
  explicit Scripted(Error error) : answer(umbra::fail(std::move(error))) {}
  Task<json::value> execute(std::string name, json::object given, Deadline) override {
    command = std::move(name);
    arguments = json::serialize(given);
    co_return answer;
  }
  void on_event(EventHandler) override {}
};

template <class T>
Result<T> get(const std::shared_ptr<Scripted>& transport, Task<T> (Client::*call)(Deadline)) {
  asio::io_context io;
  Result<T> out = umbra::fail(Errc::kInternal, "did not run");
  run_task(
      io, [](std::shared_ptr<Scripted> scripted, Task<T> (Client::*method)(Deadline), Result<T>& result) -> Task<void> {
        Client client(scripted);
        result = co_await (client.*method)(1s);
        co_return Result<void>{};
      }(transport, call, out));
  return out;
}

TEST(Client, ReadsTheCountersOfAMigration) {
  const auto info = get(std::make_shared<Scripted>(R"({"status": "active", "novel": {}, "blocked-reasons": ["vfio"],
      "ram": {"total": 34086912, "remaining": 229376, "transferred": 471938, "dirty-sync-count": 4, "mbps": 8.0,
              "dirty-pages-rate": 10, "page-size": 4096, "postcopy-requests": 0}})"),
                        &Client::migration);
  ASSERT_TRUE(info) << info.error().text();
  EXPECT_EQ(info->status, MigrationStatus::kActive);
  EXPECT_EQ(info->remaining.count, 229376U);
  EXPECT_EQ(info->dirty_sync_count, 4U);
  EXPECT_EQ(info->rate.count, 1'000'000U);
  EXPECT_EQ(info->dirty_rate.count, 40960U);
  EXPECT_EQ(info->blocked_reasons, std::vector<std::string>{"vfio"});
}

TEST(Client, TakesAnEmptyAnswerForNoMigration) {
  const auto info = get(std::make_shared<Scripted>("{}"), &Client::migration);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->status, MigrationStatus::kNone);
}

TEST(Client, RefusesAnswersThatLackWhatIsNeeded) {
  for (const auto* text : {"[]", "null", R"({"status": 1, "running": true})", R"({"status": "running"})",
                           R"({"status": "running", "running": "yes"})"}) {
    const auto status = get(std::make_shared<Scripted>(text), &Client::status);
    ASSERT_FALSE(status) << text;
    EXPECT_EQ(status.error().code, Errc::kCorrupt);
    EXPECT_NE(status.error().message.find("query-status"), std::string::npos);
  }
  EXPECT_FALSE(get(std::make_shared<Scripted>(R"({"ram": {"remaining": "much"}})"), &Client::migration));
  EXPECT_FALSE(get(std::make_shared<Scripted>(R"({"qemu": {"minor": 1}})"), &Client::version));
  EXPECT_FALSE(get(std::make_shared<Scripted>(R"([{"state": true}])"), &Client::known_capabilities));
}

TEST(Client, PutsTheCommandBeforeQemusOwnWords) {
  const auto end = get(std::make_shared<Scripted>(Error{Errc::kConflict, "not now", {}}), &Client::cont);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Errc::kConflict);
  EXPECT_EQ(end.error().message, "cont: not now");
}

TEST(Client, SendsOnlyTheParametersThatAreGiven) {
  asio::io_context io;
  const auto transport = std::make_shared<Scripted>("{}");
  run_task(io, [](std::shared_ptr<Scripted> scripted) -> Task<void> {
    Client client(scripted);
    MigrationParameters parameters;
    parameters.max_bandwidth = BytesPerSecond{10};
    UMBRA_CO_CHECK(co_await client.set_parameters(parameters, 1s));
    EXPECT_EQ(scripted->arguments, R"({"max-bandwidth":10})");
    const std::vector<std::string> on{"events"}, off{"xbzrle"};
    UMBRA_CO_CHECK(co_await client.set_capabilities(on, off, 1s));
    EXPECT_EQ(scripted->arguments,
              R"({"capabilities":[{"capability":"events","state":true},{"capability":"xbzrle","state":false}]})");
    co_return Result<void>{};
  }(transport));
}

}  // namespace
}  // namespace umbra::qmp
