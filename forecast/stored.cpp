#include "forecast/stored.hpp"

#include <boost/crc.hpp>

namespace umbra::forecast {
namespace {

std::uint32_t checksum(std::string_view body) {
  boost::crc_32_type crc;
  crc.process_bytes(body.data(), body.size());
  return crc.checksum();
}

}  // namespace

std::string sealed(std::string_view kind, std::uint16_t version, std::string_view body) {
  StateWriter out;
  out.each(kind);
  out(version);
  out(checksum(body));
  out.each(body);
  return out.take();
}

Result<std::string_view> opened(std::string_view kind, std::uint16_t version, std::string_view stored) {
  std::string its_kind(kind.size(), '\0');
  std::uint16_t its_version = 0;
  std::uint32_t sum = 0;
  StateReader in(stored);
  in.each(its_kind);
  in(its_version);
  in(sum);
  if (in.failed() || its_kind != kind) return fail(Errc::kInvalid, "reading a stored state: these bytes are none");
  if (its_version != version)
    return fail(Errc::kInvalid, "reading a stored state: it is of version {}, and this program reads version {}",
                its_version, version);
  const auto body = stored.substr(kind.size() + sizeof its_version + sizeof sum);
  if (checksum(body) != sum) return fail(Errc::kInvalid, "reading a stored state: it is damaged, or cut short");
  return body;
}

}  // namespace umbra::forecast
