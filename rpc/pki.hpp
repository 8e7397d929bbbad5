/// A fleet's certificate authority: one CA key, and one certificate per node, kept as PEM files.
/// Used by `umbractl pki` and the lab; daemons only read what this wrote. Synchronous; any thread.
#pragma once

#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rpc/identity.hpp"

namespace umbra::rpc::pki {

inline constexpr std::chrono::hours kCaValidity = std::chrono::days(3650);
inline constexpr std::chrono::hours kIssuerValidity = std::chrono::days(1825);
inline constexpr std::chrono::hours kNodeValidity = std::chrono::days(825);
inline constexpr std::chrono::hours kCrlValidity = std::chrono::days(90);

/// A certificate and its key. Keys are written with mode 0600, certificates 0644, both complete or not at all.
struct Files {
  std::filesystem::path certificate;
  std::filesystem::path key;
};

/// A CA's files: `ca.crt`, which every node gets, and `ca.key`, which never leaves this directory.
Files ca_files(const std::filesystem::path& directory);
/// A node's files: `<name>.crt`, `<name>.key`.
Files node_files(const std::filesystem::path& directory, std::string_view name);

/// Makes a CA (ECDSA P-256) in `directory`, which is created if need be.
/// @error kConflict there is one already, and it is left alone: losing its key would orphan the fleet; kInvalid cannot
/// write
Result<Files> create_ca(const std::filesystem::path& directory, std::string fleet,
                        std::chrono::hours validity = kCaValidity);

/// Makes a CA in `directory` that the CA of `ca_directory` signs: a machine that has its key signs nodes while the
/// fleet's own key is kept elsewhere. Its certificate is also added to `issuers_file(ca_directory)`.
/// @error as create_ca; kUnsupported the CA may not sign CAs
Result<Files> create_issuer(const std::filesystem::path& ca_directory, const std::string& name,
                            const std::filesystem::path& directory, std::chrono::hours validity = kIssuerValidity);
/// The CAs that were made with create_issuer: `issuers.crt`.
std::filesystem::path issuers_file(const std::filesystem::path& ca_directory);
/// What every node of the fleet is to trust, as PEM: the CA and its issuers. @error kNotFound, kInvalid
Result<std::string> trusted_by(const std::filesystem::path& ca_directory);

/// What to certify. Nodes can be both ends of connections; admins and viewers only dial.
struct Subject {
  v1::Role role = v1::ROLE_UNSPECIFIED;
  std::string name;                      ///< see check_name
  std::vector<std::string> alt_names{};  ///< DNS names or IP addresses by which others dial it
};

/// Makes a key and a certificate in `directory`.
/// @param from start of validity; five minutes are added before it, for clocks that differ
/// @error kConflict the node has files there already; kNotFound, kInvalid the CA's files, the name, or cannot write
Result<Files> issue(const std::filesystem::path& ca_directory, const Subject& subject,
                    const std::filesystem::path& directory, std::chrono::hours validity = kNodeValidity,
                    std::chrono::system_clock::time_point from = std::chrono::system_clock::now());

/// Replaces a node's certificate by one of the same subject and key that is valid from now. The key stays, so that the
/// one file can be replaced in one step under a running daemon.
/// @error kNotFound, kInvalid a file is missing, damaged, or the certificate is not this CA's; kConflict it was
/// revoked, or another one of its key was
Result<void> renew(const std::filesystem::path& ca_directory, const Files& files,
                   std::chrono::hours validity = kNodeValidity);

/// The CA's revocation list: `ca.crl`.
std::filesystem::path crl_file(const std::filesystem::path& ca_directory);

/// Revokes all certificates that were issued to a name, or one by its file, and writes the list anew.
/// @return their serial numbers; none if all were revoked or over before
/// @error kNotFound nothing was issued to that name; kInvalid a certificate of another CA; the CA's files
Result<std::vector<std::string>> revoke(const std::filesystem::path& ca_directory, const std::string& name_or_file,
                                        std::chrono::hours validity = kCrlValidity);
/// Writes the list anew, with a higher number and a later date. @return where it is
Result<std::filesystem::path> write_crl(const std::filesystem::path& ca_directory,
                                        std::chrono::hours validity = kCrlValidity,
                                        std::chrono::system_clock::time_point from = std::chrono::system_clock::now());

/// A revocation list, as people ask for it.
struct RevocationList {
  struct Entry {
    std::string serial;  ///< hexadecimal, upper case
    std::time_t since = 0;
    std::string name{};  ///< whose; empty where the register beside the list does not know it
    v1::Role role = v1::ROLE_UNSPECIFIED;
  };
  std::string issuer;
  std::string number;  ///< decimal; empty without one
  std::time_t written = 0;
  std::optional<std::time_t> next_update{};
  std::vector<Entry> revoked{};
};
/// Does the file hold revocation lists, and no certificate?
bool is_crl(const std::filesystem::path& file);
/// All lists of a file. @error kNotFound, kInvalid
Result<std::vector<RevocationList>> read_crls(const std::filesystem::path& file);
/// The same in words, several lines. @error kNotFound, kInvalid
Result<std::string> show_crls(const std::filesystem::path& file);

/// A certificate or revocation list in words, several lines. @error kNotFound, kInvalid
Result<std::string> show(const std::filesystem::path& certificate);

/// Checks what a peer would: signed by the CA, in its time, and of a known role.
/// @error kNotFound, kInvalid, with what is wrong and the remedy
Result<Identity> verify(const std::filesystem::path& ca_certificate, const std::filesystem::path& certificate);

}  // namespace umbra::rpc::pki
