#include "controller/brain/zone_feed.hpp"

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

namespace umbra::controller {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostBytes = 1 << 20;

}  // namespace

Result<std::vector<ZoneWord>> parse_zone_feed(std::string_view text) {
  const auto wrong = [](std::string_view what) {
    return fail({Errc::kInvalid, fmt::format("the zone feed {}", what),
                 R"(it reads like {"zones": {"a": {"health": 0.2, "reason": "why"}}})"});
  };
  boost::system::error_code error;
  const auto parsed = json::parse({text.data(), text.size()}, error);
  if (error) return wrong(fmt::format("is not JSON: {}", error.message()));
  const auto* root = parsed.if_object();
  const auto* zones_value = root != nullptr ? root->if_contains("zones") : nullptr;
  const auto* zones = zones_value != nullptr ? zones_value->if_object() : nullptr;
  if (zones == nullptr) return wrong("has no object \"zones\"");
  std::vector<ZoneWord> words;
  for (const auto& [name, value] : *zones) {
    const auto* zone = value.if_object();
    const auto* given = zone != nullptr ? zone->if_contains("health") : nullptr;
    if (given == nullptr || !given->is_number())
      return wrong(fmt::format("gives no health for zone {}", std::string(name)));
    const double health = given->to_number<double>();
    if (!(health >= 0 && health <= 1))
      return wrong(fmt::format("gives zone {} a health of {}, not within 0 and 1", std::string(name), health));
    const auto* reason = zone->if_contains("reason");
    words.push_back({std::string(name), health,
                     reason != nullptr && reason->is_string() ? std::string(reason->as_string()) : "", "feed"});
  }
  return words;
}

std::optional<Result<std::vector<ZoneWord>>> ZoneFeed::poll() {
  std::ifstream in(file_, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text == last_) return std::nullopt;
  last_ = text;
  if (text.size() > kMostBytes)
    return fail({Errc::kInvalid, fmt::format("the zone feed {} is larger than 1 MiB", file_.string()),
                 "write the present health only"});
  auto words = parse_zone_feed(text);
  if (!words) return fail(with_context(words.error(), file_.string()));
  return words;
}

}  // namespace umbra::controller
