#include "controller/enrolment.hpp"

#include "base/digest.hpp"
#include "rpc/pki_request.hpp"

namespace umbra::controller {
namespace {

/// The fleet must trust what the issuer signs, or nobody would speak to a node that has it.
Result<void> check_issuer(const EnrolmentSettings& settings, const rpc::TlsFiles& files) {
  const auto certificate = rpc::pki::ca_files(settings.issuer).certificate;
  UMBRA_TRY(const auto issuer, rpc::x509::read_certificate(certificate));
  UMBRA_TRY(const auto key, rpc::x509::read_key(rpc::pki::ca_files(settings.issuer).key));
  UMBRA_TRY(const auto text, rpc::x509::read_text(files.ca, "certificate"));
  UMBRA_TRY(const auto trusted, rpc::x509::parse_certificates(text, files.ca));
  const bool known = std::ranges::any_of(
      trusted, [&](const auto& each) { return rpc::x509::key_digest(*each) == rpc::x509::key_digest(*issuer); });
  if (known && X509_check_private_key(issuer.get(), key.get()) == 1) return {};
  rpc::x509::openssl_error();
  if (!known)
    return fail(
        {Errc::kInvalid,
         fmt::format("[enrolment] issuer: {} is not among the CAs in {}", certificate.string(), files.ca.string()),
         "add it there, on every node: `umbractl pki issue` writes it into each new ca.pem"});
  return fail(
      {Errc::kInvalid,
       fmt::format("[enrolment] issuer: key and certificate in {} do not belong together", settings.issuer.string()),
       "install the directory that `umbractl pki issuer` wrote"});
}

}  // namespace

Result<void> Enrolment::open(asio::any_io_executor executor, std::uint16_t agents_port) {
  agents_port_ = agents_port;
  if (settings_.issuer.empty()) return {};
  UMBRA_CHECK(check_issuer(settings_, tls_.files()));
  UMBRA_TRY(door_, rpc::EnrolmentDoor::listen(executor, settings_.listen, tls_,
                                              [this](const v1::EnrolRequest& request, const std::string& address) {
                                                return enrol(request, address);
                                              }));
  return {};
}

Result<void> Enrolment::check_ready() const {
  if (door_) return {};
  return fail({Errc::kUnsupported, "this controller signs no certificates",
               "make an issuer with `umbractl pki issuer` and set [enrolment] issuer, or issue by hand: umbractl pki "
               "issue"});
}

Result<std::string> Enrolment::trusted() const {
  return rpc::x509::read_text(tls_.files().ca, "certificate");
}

Result<v1::InviteReply> Enrolment::invite(const v1::InviteRequest& request) {
  UMBRA_CHECK(check_ready());
  UMBRA_CHECK(rpc::check_name(request.name()));
  UMBRA_CHECK(rpc::check_name(request.zone()));
  if (request.role() != v1::ROLE_AGENT && request.role() != v1::ROLE_EDGE)
    return fail({Errc::kInvalid, "only hosts and edges are invited", "issue others with `umbractl pki issue`"});
  const Milliseconds valid(request.valid_ms());
  if (valid < kShortest || valid > kLongest)
    return fail({Errc::kInvalid, "a token is valid for 1 minute to 7 days", "give another --valid"});
  const auto* node = inventory_.node(request.name());
  if (node != nullptr && node->up)
    return fail({Errc::kConflict, fmt::format("{} is in the fleet, and connected", request.name()),
                 "choose another name, or stop its agent first if it is to get a new key"});
  UMBRA_TRY(const auto token, rpc::Token::make(tls_));
  Invitation invitation{.name = request.name(),
                        .role = request.role(),
                        .zone = request.zone(),
                        .secret = hex(sha256(token.secret)),
                        .until = clock_.unix_ms() + valid.count()};
  UMBRA_CHECK(store_.invitations.save(invitation, clock_.unix_ms()));
  v1::InviteReply reply;
  reply.set_token(token.text());
  reply.set_until_unix_ms(invitation.until);
  reply.set_port(door_->port());
  return reply;
}

Result<v1::EnrolReply> Enrolment::enrol(const v1::EnrolRequest& request, const std::string& address) {
  UMBRA_TRY(auto invitation, store_.invitations.find(hex(sha256(request.secret()))));
  if (!invitation || invitation->until < clock_.unix_ms())
    return fail({Errc::kDenied, "this token is not valid, or not any more", "get another one: umbractl invite NAME"});
  UMBRA_TRY(const auto key, rpc::pki::key_of_request(request.request()));
  // An answer may have been lost: the same key may ask again.
  if (!invitation->key.empty() && invitation->key != key)
    return fail(
        {Errc::kDenied, fmt::format("this token was used before, for {}", invitation->name),
         "if that was not you, revoke what it got (umbractl pki revoke); get another one: umbractl invite NAME"});
  UMBRA_TRY(const auto ca, trusted());
  invitation->key = key;
  UMBRA_CHECK(store_.invitations.save(*invitation, clock_.unix_ms()));  // before anyone can hold the certificate
  UMBRA_TRY(const auto pem,
            rpc::pki::certify_request(settings_.issuer, request.request(), {invitation->role, invitation->name}));
  events_.add(v1::EVENT_KIND_HOST, v1::SEVERITY_INFO, fmt::format("was enrolled from {}", address),
              {invitation->name, ""});
  v1::EnrolReply reply;
  reply.set_name(invitation->name);
  reply.set_role(invitation->role);
  reply.set_zone(invitation->zone);
  reply.set_controller(tls_.self().name);
  reply.set_port(agents_port_);
  reply.set_certificate(pem);
  reply.set_ca(ca);
  return reply;
}

Result<v1::RenewCertificateReply> Enrolment::renew(const rpc::Caller& caller,
                                                   const v1::RenewCertificateRequest& request) {
  UMBRA_CHECK(check_ready());
  UMBRA_TRY(const auto ca, trusted());
  UMBRA_TRY(const auto pem, rpc::pki::certify_request(settings_.issuer, request.request(), {caller.role, caller.name}));
  v1::RenewCertificateReply reply;
  reply.set_certificate(pem);
  reply.set_ca(ca);
  return reply;
}

}  // namespace umbra::controller
