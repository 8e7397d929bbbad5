#include "rpc/pki_register.hpp"

#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/digest.hpp"
#include "rpc/pki_files.hpp"

namespace umbra::rpc::pki {
namespace {

using Number = std::unique_ptr<BIGNUM, x509::Release<BN_free>>;
using OpenSslText = std::unique_ptr<char, x509::Release<[](char* text) { OPENSSL_free(text); }>>;
constexpr const char* kFile = "issued";
constexpr const char* kUnknownKey = "-";
constexpr std::string_view kHeading =
    "# what this CA issued: serial role name not_after revoked key; crl is the last list's number";

Result<void> read_line(const std::string& line, Register& into) {
  std::istringstream words(line);
  std::string first;
  words >> first;
  if (first == "crl" && words >> into.crl_number) return {};
  IssuedRecord record;
  std::string role;
  std::int64_t not_after = 0;
  std::int64_t revoked = 0;
  record.serial = first;
  const bool hexadecimal =
      !first.empty() && first.size() <= 64 && first.find_first_not_of("0123456789ABCDEF") == std::string::npos;
  if (hexadecimal && words >> role >> record.name >> not_after >> revoked && check_name(record.name)) {
    UMBRA_TRY(record.role, parse_role(role));
    record.not_after = not_after;
    record.revoked = revoked;
    if (!(words >> record.key)) record.key = kUnknownKey;
    into.records.push_back(std::move(record));
    return {};
  }
  return fail(Errc::kCorrupt, "it cannot be read");
}

}  // namespace

Result<Register> Register::open(const std::filesystem::path& directory) {
  const int lock = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0 || ::flock(lock, LOCK_EX) != 0) {
    const int cause = errno;
    if (lock >= 0) ::close(lock);
    return fail({Errc::kNotFound, fmt::format("{} cannot be opened: {}", directory.string(), std::strerror(cause)),
                 "name the certificate authority's directory"});
  }
  Register found(directory, lock);
  const auto file = directory / kFile;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return found;
  UMBRA_TRY(const auto text, x509::read_text(file, "register of certificates"));
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    if (const auto read = read_line(line, found); !read)
      return fail({Errc::kCorrupt, fmt::format("{}, line {}: {}", file.string(), number, read.error().message),
                   "correct the line, or restore the file from a backup"});
  }
  return found;
}

Register::Register(Register&& other) noexcept
    : records(std::move(other.records)),
      crl_number(other.crl_number),
      directory_(std::move(other.directory_)),
      lock_(std::exchange(other.lock_, -1)) {}

Register::~Register() {
  if (lock_ >= 0) ::close(lock_);
}

Result<void> Register::save() const {
  auto text = fmt::format("{}\ncrl {}\n", kHeading, crl_number);
  for (const auto& each : records)
    text += fmt::format("{} {} {} {} {} {}\n", each.serial, role_name(each.role), each.name, each.not_after,
                        each.revoked, each.key);
  return write_file(directory_ / kFile, text, 0644, Existing::kReplace);
}

std::string serial_text(const ASN1_INTEGER& serial) {
  const Number number(ASN1_INTEGER_to_BN(&serial, nullptr));
  const OpenSslText text(number ? BN_bn2hex(number.get()) : nullptr);
  if (text && *text != '-') return text.get();
  ERR_clear_error();
  return {};
}

Result<IssuedRecord> record_of(X509& certificate) {
  UMBRA_TRY(auto identity, x509::identity_of(certificate));
  auto serial = serial_text(*X509_get0_serialNumber(&certificate));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (serial.empty() || X509_pubkey_digest(&certificate, EVP_sha256(), digest, &size) != 1) {
    ERR_clear_error();
    return fail({Errc::kInvalid, fmt::format("the certificate of {} has no usable serial number", identity.name),
                 "issue it with `umbractl pki issue`"});
  }
  auto key = hex({reinterpret_cast<const char*>(digest), size});
  return IssuedRecord{std::move(serial), identity.role, identity.name, identity.not_after, 0, std::move(key)};
}

}  // namespace umbra::rpc::pki
