/// The CA of a directory, loaded to sign with. Private to the files of pki.
#pragma once

#include <chrono>
#include <filesystem>

#include "rpc/x509.hpp"

namespace umbra::rpc::pki {

/// Taken off the beginning of validity, for clocks that differ.
inline constexpr std::chrono::minutes kClockSkew{5};

struct Ca {
  x509::Certificate certificate;
  x509::Key key;
};

/// @error kNotFound, kInvalid
Result<Ca> load_ca(const std::filesystem::path& directory);

/// OpenSSL fails in here only for want of memory or entropy, so one test at the end is enough for callers.
Result<void> must(bool done);

}  // namespace umbra::rpc::pki
