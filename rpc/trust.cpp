#include "rpc/trust.hpp"

#include <openssl/err.h>

#include <algorithm>

#include "base/printable.hpp"

namespace umbra::rpc {
namespace {

namespace fs = std::filesystem;
using Store = std::unique_ptr<X509_STORE, x509::Release<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, x509::Release<X509_STORE_CTX_free>>;
using Number = std::unique_ptr<ASN1_INTEGER, x509::Release<ASN1_INTEGER_free>>;

constexpr std::size_t kMostCas = 16;
constexpr const char* kWriteList = "write them with `umbractl pki crl`, one after the other into one file";

int tolerant(int accepted, X509_STORE_CTX* context) {
  if (accepted == 1 || !Trust::tolerates(X509_STORE_CTX_get_error(context))) return accepted;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

/// The list's own number; 0 without one.
std::int64_t number_of(X509_CRL& list) {
  const Number number(static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(&list, NID_crl_number, nullptr, nullptr)));
  std::int64_t value = 0;
  if (!number || ASN1_INTEGER_get_int64(&value, number.get()) != 1) ERR_clear_error();
  return value;
}

struct List {
  x509::Crl crl;
  X509* issuer = nullptr;  ///< one of the CAs
  std::int64_t number = 0;
};

}  // namespace

struct Trust::State {
  fs::path ca_file, crl_file;
  std::vector<x509::Certificate> cas;
  std::vector<List> lists;
  Store store;
};

bool Trust::tolerates(int verify_error) {
  return verify_error == X509_V_ERR_CRL_HAS_EXPIRED || verify_error == X509_V_ERR_CRL_NOT_YET_VALID;
}

Result<Trust> Trust::load(const fs::path& ca, const fs::path& crl) {
  UMBRA_TRY(const auto ca_pem, x509::read_text(ca, "CA certificate"));
  std::string crl_pem;
  if (!crl.empty()) {
    UMBRA_TRY(crl_pem, x509::read_text(crl, "revocation list"));
  }
  return parse(ca_pem, ca, crl_pem, crl);
}

Result<Trust> Trust::parse(std::string_view ca_pem, const fs::path& ca, std::string_view crl_pem, const fs::path& crl) {
  auto state = std::make_shared<State>();
  state->ca_file = ca;
  state->crl_file = crl;
  state->store.reset(X509_STORE_new());
  UMBRA_TRY(state->cas, x509::parse_certificates(ca_pem, ca));
  if (state->cas.size() > kMostCas)
    return fail({Errc::kInvalid, fmt::format("{} holds {} certificates", ca.string(), state->cas.size()),
                 fmt::format("leave the CAs that the fleet uses, {} at most", kMostCas)});
  for (const auto& each : state->cas) {
    if (X509_check_ca(each.get()) == 0)
      return fail({Errc::kInvalid, fmt::format("{}: {} is no CA", ca.string(), x509::subject_of(*each)),
                   "put only certificates of CAs (ca.pem, ca.crt) into it"});
    X509_STORE_add_cert(state->store.get(), each.get());
  }
  if (!crl.empty()) {
    UMBRA_TRY(auto lists, x509::parse_crls(crl_pem, crl));
    for (auto& list : lists) {
      const auto issuer = std::ranges::find_if(state->cas, [&](const auto& each) {
        return X509_NAME_cmp(X509_CRL_get_issuer(list.get()), X509_get_subject_name(each.get())) == 0 &&
               X509_CRL_verify(list.get(), X509_get0_pubkey(each.get())) == 1;
      });
      ERR_clear_error();
      if (issuer == state->cas.end())
        return fail({Errc::kInvalid,
                     fmt::format("{}: a revocation list is not signed by any CA in {}", crl.string(), ca.string()),
                     "remove it, or add its CA"});
      const auto number = number_of(*list);
      const auto same =
          std::ranges::find_if(state->lists, [&](const List& has) { return has.issuer == issuer->get(); });
      if (same == state->lists.end())
        state->lists.push_back({std::move(list), issuer->get(), number});
      else if (same->number < number)
        *same = {std::move(list), issuer->get(), number};
    }
    for (const auto& each : state->cas)
      if (std::ranges::none_of(state->lists, [&](const List& list) { return list.issuer == each.get(); }))
        return fail({Errc::kInvalid,
                     fmt::format("{} holds no revocation list of the CA {}", crl.string(), x509::subject_of(*each)),
                     kWriteList});
    for (const auto& list : state->lists) X509_STORE_add_crl(state->store.get(), list.crl.get());
    X509_STORE_set_flags(state->store.get(), X509_V_FLAG_CRL_CHECK);
  }
  X509_STORE_set_verify_cb(state->store.get(), tolerant);
  return Trust(std::move(state));
}

Result<void> Trust::check(X509& certificate, Times times) const {
  const StoreContext context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), state_->store.get(), &certificate, nullptr) != 1)
    return fail(Errc::kInternal, "{}", x509::openssl_error());
  if (times == Times::kAreIgnored) X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME);
  if (X509_verify_cert(context.get()) == 1) return {};
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return fail(Errc::kInvalid, "{}", x509::explain(error, X509_STORE_CTX_get_current_cert(context.get())));
}

std::vector<std::string> Trust::warnings(std::time_t now) const {
  std::vector<std::string> found;
  for (const auto& ca : state_->cas) {
    const auto ends = x509::not_after(*ca);
    if (ends - now > std::chrono::seconds(kExpiresSoon).count()) continue;
    found.push_back(fmt::format(
        "the CA {} in {} {} on {}; make a new one, add it to the bundle on every node, issue "
        "certificates from it, and then remove this one",
        x509::subject_of(*ca), state_->ca_file.string(), ends < now ? "expired" : "expires", x509::time_text(ends)));
  }
  for (const auto& list : state_->lists) {
    const auto ends = x509::next_update(*list.crl);
    if (!ends || *ends > now) continue;
    found.push_back(
        fmt::format("the revocation list of {} in {} is out of date since {}; whom it names stays shut out. "
                    "Write another with `umbractl pki crl` and put it on every node",
                    x509::subject_of(*list.issuer), state_->crl_file.string(), x509::time_text(*ends)));
  }
  return found;
}

std::optional<std::time_t> Trust::next_update() const {
  std::optional<std::time_t> first;
  for (const auto& list : state_->lists) {
    const auto ends = x509::next_update(*list.crl);
    if (ends && (!first || *ends < *first)) first = ends;
  }
  return first;
}

Result<void> Trust::check_not_older_than(const Trust& before) const {
  for (const auto& old : before.state_->lists)
    for (const auto& list : state_->lists)
      if (X509_cmp(list.issuer, old.issuer) == 0 && list.number < old.number)
        return fail({Errc::kConflict,
                     fmt::format("{} holds revocation list {} of {}, which is older than number {}, in force now",
                                 state_->crl_file.string(), list.number, x509::subject_of(*list.issuer), old.number),
                     "install the newest list that `umbractl pki crl` wrote"});
  return {};
}

X509_STORE* Trust::store() const {
  return state_->store.get();
}

}  // namespace umbra::rpc
