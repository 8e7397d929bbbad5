#include "forecast_io/time_zone.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace umbra::forecast {
namespace {

constexpr std::string_view kDatabase = "/usr/share/zoneinfo/";
constexpr std::int64_t kDay = 86'400;

tl::unexpected<Error> damaged() {
  return fail({Errc::kCorrupt, "its time zone file is damaged", "install the package tzdata again"});
}

/// Numbers of a TZif file, most significant byte first; what lies beyond its end reads as zero and makes it bad.
class Bytes {
 public:
  explicit Bytes(std::string_view rest) : rest_(rest) {}

  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (const char c : text(bytes)) value = value << 8U | static_cast<unsigned char>(c);
    return value;
  }
  std::string_view text(std::size_t bytes) {
    bad_ = bad_ || bytes > rest_.size();
    if (bad_) return {};
    const auto part = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return part;
  }
  std::string_view rest() const { return rest_; }
  bool bad() const { return bad_; }

 private:
  std::string_view rest_;
  bool bad_ = false;
};

/// RFC 8536, 3.1
struct Header {
  char version = 0;
  std::size_t isutcnt = 0, isstdcnt = 0, leapcnt = 0, timecnt = 0, typecnt = 0, charcnt = 0;

  static std::optional<Header> read(Bytes& bytes) {
    if (bytes.text(4) != "TZif") return std::nullopt;
    Header header;
    header.version = static_cast<char>(bytes.number(1));
    bytes.text(15);
    for (auto* count :
         {&header.isutcnt, &header.isstdcnt, &header.leapcnt, &header.timecnt, &header.typecnt, &header.charcnt})
      *count = static_cast<std::size_t>(bytes.number(4));
    if (bytes.bad()) return std::nullopt;
    return header;
  }
  /// Bytes of a block whose times take `time` bytes.
  std::size_t size(std::size_t time) const {
    return timecnt * (time + 1) + typecnt * 6 + charcnt + leapcnt * (time + 4) + isstdcnt + isutcnt;
  }
};

}  // namespace

Result<TimeZone> TimeZone::parse(std::string_view content) {
  Bytes bytes(content);
  auto header = Header::read(bytes);
  if (!header || header->version < '2') return damaged();
  bytes.text(header->size(4));
  header = Header::read(bytes);
  if (!header || bytes.rest().size() < header->size(8) || header->typecnt == 0) return damaged();

  TimeZone zone;
  zone.changes_.resize(header->timecnt);
  for (auto& change : zone.changes_) change.at = static_cast<std::int64_t>(bytes.number(8));
  const auto which = bytes.text(header->timecnt);
  std::vector<std::int64_t> offsets;
  for (std::size_t i = 0; i < header->typecnt; ++i) {
    offsets.push_back(static_cast<std::int32_t>(bytes.number(4)));
    bytes.text(2);
  }
  zone.before_ = offsets.front();
  for (std::size_t i = 0; i < which.size(); ++i) {
    const auto type = static_cast<unsigned char>(which[i]);
    if (type >= offsets.size()) return damaged();
    zone.changes_[i].offset = offsets[type];
  }
  bytes.text(header->charcnt + header->leapcnt * 12 + header->isstdcnt + header->isutcnt);
  auto footer = bytes.rest();
  if (!footer.starts_with('\n') || !footer.ends_with('\n') || footer.size() < 2) return damaged();
  footer = footer.substr(1, footer.size() - 2);
  if (!footer.empty()) {
    zone.after_ = ZoneRule::parse(footer);
    if (!zone.after_) return damaged();
  }
  return zone;
}

Result<TimeZone> TimeZone::load(std::string_view name) {
  const bool proper = !name.empty() && !name.starts_with('/') && name.find("..") == std::string_view::npos &&
                      name.find('\0') == std::string_view::npos;
  const auto path = std::string(kDatabase).append(name);
  std::error_code error;
  if (!proper || !std::filesystem::is_regular_file(path, error))
    return fail({Errc::kNotFound, fmt::format("{} has no such time zone", kDatabase),
                 "name it like Europe/Berlin, and see that the package tzdata is installed"});
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return parse(content.str());
}

std::int64_t TimeZone::offset(std::int64_t utc) const {
  const auto next = std::upper_bound(changes_.begin(), changes_.end(), utc,
                                     [](std::int64_t at, const Change& change) { return at < change.at; });
  if (next == changes_.end() && after_) return after_->offset(utc);
  return next == changes_.begin() ? before_ : std::prev(next)->offset;
}

std::int64_t TimeZone::to_utc(std::int64_t local) const {
  const auto before = offset(local - kDay), after = offset(local + kDay);
  if (offset(local - before) == before) return local - before;
  return offset(local - after) == after ? local - after : local - before;
}

}  // namespace umbra::forecast
