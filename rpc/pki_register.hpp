/// What a CA has issued and revoked: the file `issued` in its directory, one certificate a line.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "rpc/x509.hpp"

namespace umbra::rpc::pki {

struct IssuedRecord {
  std::string serial;  ///< hexadecimal, upper case
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::string name;
  std::time_t not_after = 0;
  std::time_t revoked = 0;  ///< 0: it is not
  std::string key{};        ///< SHA-256 of its public key, hexadecimal; "-" where an older register did not keep it
};

/// The register, held under a lock that other processes respect until this object is gone.
class Register {
 public:
  /// A directory without a register has an empty one. @error kNotFound no directory; kCorrupt a line cannot be read
  static Result<Register> open(const std::filesystem::path& directory);
  Register(Register&& other) noexcept;
  Register& operator=(Register&&) = delete;
  ~Register();

  std::vector<IssuedRecord> records;
  std::uint64_t crl_number = 0;  ///< of the last list that was written

  /// Writes it whole. @error kInvalid cannot be written
  Result<void> save() const;

 private:
  Register(std::filesystem::path directory, int lock) : directory_(std::move(directory)), lock_(lock) {}
  std::filesystem::path directory_;
  int lock_ = -1;
};

/// A serial number as the register has it; empty if there is none, or it is negative.
std::string serial_text(const ASN1_INTEGER& serial);
/// Of a certificate: what the register keeps of it. @error kInvalid it is no node's
Result<IssuedRecord> record_of(X509& certificate);

}  // namespace umbra::rpc::pki
