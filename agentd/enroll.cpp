#include "agentd/enroll.hpp"

#include <pwd.h>
#include <unistd.h>

#include <boost/asio/ip/address.hpp>
#include <cstring>

#include "rpc/dialer.hpp"
#include "rpc/enrolment.hpp"
#include "rpc/pki_files.hpp"
#include "rpc/pki_request.hpp"

namespace umbra::agent {
namespace {

namespace fs = std::filesystem;
namespace pki = rpc::pki;
using namespace std::chrono_literals;

rpc::TlsFiles files_below(const fs::path& state_dir) {
  const auto directory = state_dir / "tls";
  return {directory / "ca.pem", directory / "cert.pem", directory / "key.pem", {}};
}

/// The key of an earlier try with the same token, or a new one.
Result<std::string> key_for(const rpc::TlsFiles& files, const fs::path& config_file) {
  std::error_code ignored;
  if (fs::exists(files.certificate, ignored) && fs::exists(config_file, ignored))
    return fail({Errc::kConflict, fmt::format("this machine is enrolled: {} is there", files.certificate.string()),
                 fmt::format("it is renewed by itself; to join another fleet, or with a new key, stop the agent and "
                             "remove {}",
                             files.certificate.parent_path().string())});
  if (fs::exists(files.key, ignored)) return rpc::x509::read_text(files.key, "private key");
  UMBRA_TRY(auto key, pki::make_key());
  UMBRA_CHECK(pki::write_file(files.key, key, 0600, pki::Existing::kKeep));
  return key;
}

std::string with_port(const std::string& host, unsigned port) {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

std::string configuration(const EnrollOptions& options, const rpc::Enrolled& enrolled, const rpc::TlsFiles& files,
                          const std::string& controller_host) {
  const auto& reply = enrolled.reply;
  const auto& address = options.address.empty() ? enrolled.address : options.address;
  return fmt::format(R"(# Written by umbra-agentd enroll. Every key with its meaning: /usr/lib/umbra/agentd.toml.
[agent]
name = "{}"
role = "{}"
zone = "{}"
state_dir = "{}"

[controller]
endpoint = "{}"
name = "{}"

[listen]
endpoint = "{}"

[network]
underlay_address = "{}"

[tls]
ca = "{}"
certificate = "{}"
key = "{}"
renew = true
)",
                     reply.name(), reply.role() == v1::ROLE_EDGE ? "edge" : "host", reply.zone(),
                     options.state_dir.string(), with_port(controller_host, reply.port()), reply.controller(),
                     with_port(address, options.port), address, files.ca.string(), files.certificate.string(),
                     files.key.string());
}

/// A configuration that was there before must be this node's, and use what was just written.
Result<void> check_configuration(const EnrollOptions& options, const v1::EnrolReply& reply,
                                 const rpc::TlsFiles& files) {
  const auto config = options.load();
  if (!config) return fail(config.error());
  const auto role = reply.role() == v1::ROLE_EDGE ? NodeRole::kEdge : NodeRole::kHost;
  if (config->name == reply.name() && config->role == role && config->tls.certificate == files.certificate &&
      config->tls.key == files.key && config->tls.ca == files.ca)
    return {};
  return fail({Errc::kConflict,
               fmt::format("{} was here before, and is not for what was enrolled: {} as {}",
                           options.config_file.string(), reply.name(), rpc::role_name(reply.role())),
               fmt::format("set [agent] name and role so, and [tls] ca = \"{}\", certificate = \"{}\", key = \"{}\", "
                           "renew = true",
                           files.ca.string(), files.certificate.string(), files.key.string())});
}

/// What root wrote is to be the agent's.
Result<void> give_to(const std::string& user, const std::vector<fs::path>& paths) {
  if (user.empty() || ::geteuid() != 0) return {};
  const auto* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return fail({Errc::kNotFound, fmt::format("there is no user {}", user),
                 "install the package umbra-agentd, or give --user"});
  for (const auto& path : paths) {
    if (::lchown(path.c_str(), entry->pw_uid, entry->pw_gid) != 0)
      return fail(Errc::kInvalid, "cannot give {} to {}: {}", path.string(), user, std::strerror(errno));
  }
  return {};
}

Result<void> check_address(const std::string& address) {
  boost::system::error_code error;
  if (address.empty() || !boost::asio::ip::make_address(address, error).is_unspecified())
    if (!error) return {};
  return fail({Errc::kInvalid, fmt::format("\"{}\" is no address of a node", address),
               "give --address the one by which other nodes reach this one, like 10.77.0.1"});
}

/// Names come from the controller, and go into a file: it is no stranger, but a bug there must not write keys here.
Result<void> check_reply(const v1::EnrolReply& reply) {
  for (const auto& name : {reply.name(), reply.zone(), reply.controller()}) UMBRA_CHECK(rpc::check_name(name));
  if (reply.role() != v1::ROLE_AGENT && reply.role() != v1::ROLE_EDGE)
    return fail(Errc::kInvalid, "the controller offers the role {}", rpc::role_name(reply.role()));
  return {};
}

}  // namespace

Task<std::string> enroll(asio::any_io_executor executor, EnrollOptions options) {
  UMBRA_CO_TRY(const auto host, rpc::parse_address(options.controller));
  UMBRA_CO_TRY(auto token, rpc::Token::parse(options.token));
  UMBRA_CO_CHECK(check_address(options.address));
  std::error_code ignored;
  const auto files = files_below(options.state_dir);
  fs::create_directories(files.key.parent_path(), ignored);
  fs::permissions(files.key.parent_path(), fs::perms::owner_all, ignored);
  UMBRA_CO_CHECK(give_to(options.user, {options.state_dir, files.key.parent_path()}));
  UMBRA_CO_TRY(const auto key, key_for(files, options.config_file));
  UMBRA_CO_TRY(auto request, pki::make_request(key));
  auto controller = options.controller;
  UMBRA_CO_TRY(const auto enrolled,
               co_await rpc::enrol(executor, std::move(controller), std::move(token), std::move(request), 20s));
  const auto& reply = enrolled.reply;
  UMBRA_CO_CHECK(check_reply(reply));
  UMBRA_CO_CHECK(pki::write_file(files.ca, reply.ca(), 0644, pki::Existing::kReplace));
  UMBRA_CO_CHECK(pki::write_file(files.certificate, reply.certificate(), 0644, pki::Existing::kReplace));
  UMBRA_CO_CHECK(give_to(options.user, {files.ca, files.certificate, files.key}));
  UMBRA_CO_CHECK(rpc::Tls::load(files, reply.role()));
  if (fs::exists(options.config_file, ignored)) {
    UMBRA_CO_CHECK(check_configuration(options, reply, files));
  } else {
    const auto text = configuration(options, enrolled, files, host.host);
    UMBRA_CO_CHECK(pki::write_file(options.config_file, text, 0644, pki::Existing::kKeep));
    if (const auto config = options.load(); !config) {
      fs::remove(options.config_file, ignored);  // so that it can be tried again
      co_return fail(
          with_context(config.error(), "no configuration is written; with the same token, and another --address"));
    }
  }
  co_return fmt::format("{} is enrolled as {} of zone {}; its configuration is {}", reply.name(),
                        rpc::role_name(reply.role()), reply.zone(), options.config_file.string());
}

}  // namespace umbra::agent
