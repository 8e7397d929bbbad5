#include "base/result.hpp"

namespace umbra {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return "invalid";
    case Errc::kNotFound:
      return "not found";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kConflict:
      return "conflict";
    case Errc::kCorrupt:
      return "corrupt";
    case Errc::kCancelled:
      return "cancelled";
    case Errc::kDenied:
      return "denied";
    case Errc::kExhausted:
      return "exhausted";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kInternal:
      return "internal error";
  }
  return "unknown error";
}

std::string Error::text() const {
  return remedy.empty() ? message : fmt::format("{} ({})", message, remedy);
}

Error with_remedy(Error error, std::string remedy) {
  error.remedy = std::move(remedy);
  return error;
}

Error with_context(Error error, std::string_view what) {
  error.message = fmt::format("{}: {}", what, error.message);
  return error;
}

}  // namespace umbra
