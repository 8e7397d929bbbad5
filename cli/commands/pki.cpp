// pki init|issuer|issue|show|renew|revoke|crl: the fleet's own certificate authority. Needs no controller: it comes
// before one.
#include "rpc/pki.hpp"
#include <CLI/App.hpp>

#include <fcntl.h>
#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.hpp"
#include "base/printable.hpp"
#include "cli/command.hpp"
#include "cli/output/json.hpp"
#include "cli/output/words.hpp"
#include "rpc/pki_files.hpp"
#include "rpc/x509.hpp"

namespace umbra::cli {
namespace {

namespace fs = std::filesystem;
namespace pki = rpc::pki;

/// What the daemons and umbractl are pointed at on each node.
constexpr const char* kCa = "ca.pem";
constexpr const char* kCertificate = "cert.pem";
constexpr const char* kKey = "key.pem";
constexpr std::int64_t kMostDays = 36'500;

void show_files(const Context& context, std::initializer_list<std::pair<const char*, fs::path>> files) {
  if (context.json()) {
    boost::json::object object;
    for (const auto& [name, path] : files) object.emplace(name, path.string());
    print(serialize(object) + "\n");
  } else {
    for (const auto& [name, path] : files) print(fmt::format("{:<12} {}\n", name, printable(path.string())));
  }
}

/// A directory beside the final files, so that they can be renamed into place; removed at the end with what is left in
/// it.
class Staging {
 public:
  static Result<Staging> make(const fs::path& beside) {
    auto pattern = (beside / ".issue-XXXXXX").string();
    std::error_code error;
    fs::create_directories(beside, error);
    if (error || ::mkdtemp(pattern.data()) == nullptr)
      return fail({Errc::kInvalid,
                   fmt::format("cannot write to {}: {}", beside.string(), std::strerror(error ? error.value() : errno)),
                   "give a directory that you may write to"});
    return Staging(pattern);
  }
  Staging(Staging&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Staging& operator=(Staging&&) = delete;
  ~Staging() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  explicit Staging(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

/// The CAs that a directory's ca.pem names, which may be a bundle, must have ours among them: else it is another
/// fleet's.
Result<void> check_same_fleet(const fs::path& ca_directory, const fs::path& out) {
  if (!fs::exists(out / kCa)) return {};
  UMBRA_TRY(const auto ours, rpc::x509::read_certificate(pki::ca_files(ca_directory).certificate));
  UMBRA_TRY(const auto text, rpc::x509::read_text(out / kCa, "certificate"));
  UMBRA_TRY(const auto theirs, rpc::x509::parse_certificates(text, out / kCa));
  for (const auto& each : theirs)
    if (X509_cmp(each.get(), ours.get()) == 0) return {};
  return fail({Errc::kConflict,
               fmt::format("{} holds credentials of another fleet: {} is not the CA in {}", out.string(),
                           (out / kCa).string(), ca_directory.string()),
               "give another --out"});
}

/// What stands there is this node's, by this CA.
Result<void> check_same_node(const fs::path& ca_directory, const rpc::pki::Subject& subject, const fs::path& out) {
  UMBRA_TRY(const auto ours, rpc::x509::read_certificate(pki::ca_files(ca_directory).certificate));
  UMBRA_TRY(const auto old, rpc::x509::read_certificate(out / kCertificate));
  const bool issued_here = X509_verify(old.get(), X509_get0_pubkey(ours.get())) == 1;
  ERR_clear_error();
  const auto identity = rpc::x509::identity_of(*old);
  if (issued_here && identity && identity->name == subject.name && identity->role == subject.role) return {};
  return fail({Errc::kConflict,
               fmt::format("{} is not {}'s of role {} by the CA in {}", (out / kCertificate).string(), subject.name,
                           rpc::role_name(subject.role), ca_directory.string()),
               "give another --out"});
}

/// Moves a new file to its place, over an old one only where that is meant.
Result<void> place(const fs::path& from, const fs::path& to, bool over) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), over ? 0U : unsigned{RENAME_NOREPLACE}) == 0) return {};
  return fail({errno == EEXIST ? Errc::kConflict : Errc::kInvalid,
               fmt::format("cannot write {}: {}", to.string(), std::strerror(errno)),
               "give another --out, or see to its permissions and free space"});
}

/// @param renew the node's own key and certificate there are replaced by new ones
Result<void> issue_into(const fs::path& ca_directory, const rpc::pki::Subject& subject, const fs::path& out,
                        std::chrono::hours validity, bool renew) {
  UMBRA_CHECK(check_same_fleet(ca_directory, out));
  const bool there = fs::exists(out / kCertificate) || fs::exists(out / kKey);
  if (there && !renew)
    return fail(
        {Errc::kConflict, fmt::format("{} holds a certificate or key already", out.string()),
         "use `umbractl pki renew` to extend it, --renew for a new key of the same node, or give another --out"});
  if (there) UMBRA_CHECK(check_same_node(ca_directory, subject, out));
  UMBRA_TRY(const auto staging, Staging::make(out));
  UMBRA_TRY(const auto files, pki::issue(ca_directory, subject, staging.path(), validity));
  UMBRA_CHECK(place(files.key, out / kKey, there));
  UMBRA_CHECK(place(files.certificate, out / kCertificate, there));
  if (fs::exists(out / kCa)) return {};  // perhaps a bundle, which has our CA
  UMBRA_TRY(const auto trusted, pki::trusted_by(ca_directory));
  UMBRA_CHECK(pki::write_file(staging.path() / kCa, trusted, 0644, pki::Existing::kKeep));
  return place(staging.path() / kCa, out / kCa, false);
}

/// The library's result as the verb's: a filesystem exception is one of its errors.
template <class Work>
Outcome attempt(Work work) {
  try {
    const Result<void> done = work();
    if (!done) return failed(done.error());
    return ExitCode::kOk;
  } catch (const fs::filesystem_error& error) {
    return failed({Errc::kInvalid, error.what(), "check the directory's permissions and free space"});
  }
}

CLI::Option* add_days(CLI::App& verb, std::int64_t& days, std::chrono::hours usual) {
  days = usual / std::chrono::hours(24);
  return verb.add_option("--days", days, fmt::format("How long it is valid ({})", days))
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{1}, kMostDays));
}

void add_init(CLI::App& parent, Action& action) {
  struct Words {
    std::string dir, fleet = "umbra";
    std::int64_t days = 0;
  };
  auto words = std::make_shared<Words>();
  auto& verb = add_verb(parent, "init",
                        "Make the fleet's certificate authority. Its key signs every node: keep it off the hosts",
                        "umbractl pki init --dir ~/fleet-ca --name production");
  verb.add_option("--dir", words->dir, "Where it is kept")->type_name("DIR")->required();
  verb.add_option("--name", words->fleet, "The fleet's name (umbra)")->type_name("FLEET");
  add_days(verb, words->days, pki::kCaValidity);
  verb.callback([&action, words] {
    action = [words](const Context& context) {
      return attempt([&]() -> Result<void> {
        for (const auto* name : {kCa, kCertificate, kKey})
          if (fs::exists(fs::path(words->dir) / name))
            return fail(
                {Errc::kConflict, fmt::format("{} holds a node's credentials", words->dir), "give another --dir"});
        UMBRA_TRY(const auto files, pki::create_ca(words->dir, words->fleet, std::chrono::days(words->days)));
        show_files(context, {{"ca", files.certificate}, {"ca_key", files.key}});
        return {};
      });
    };
  });
}

void add_issuer(CLI::App& parent, Action& action) {
  struct Words {
    std::string dir, out, name = "1";
    std::int64_t days = 0;
  };
  auto words = std::make_shared<Words>();
  auto& verb = add_verb(parent, "issuer",
                        "Make a CA for the controller, which signs hosts and edges that join by `umbractl invite`, "
                        "and renews their certificates. Before `pki issue`, so that everybody trusts it",
                        "umbractl pki issuer --dir ~/fleet-ca --out issuer");
  verb.add_option("--dir", words->dir, "The certificate authority's directory")->type_name("DIR")->required();
  verb.add_option("--out", words->out, "Where the issuer is made; goes to the controller whole")
      ->type_name("DIR")
      ->required();
  verb.add_option("--name", words->name, "What tells it from an earlier one (1)")->type_name("NAME");
  add_days(verb, words->days, pki::kIssuerValidity);
  verb.callback([&action, words] {
    action = [words](const Context& context) {
      return attempt([&]() -> Result<void> {
        UMBRA_TRY(const auto files,
                  pki::create_issuer(words->dir, words->name, words->out, std::chrono::days(words->days)));
        show_files(context, {{"ca", files.certificate}, {"ca_key", files.key}});
        return {};
      });
    };
  });
}

void add_issue(CLI::App& parent, Action& action) {
  struct Words {
    std::string dir, role, out;
    pki::Subject subject;
    std::int64_t days = 0;
    bool renew = false;
  };
  auto words = std::make_shared<Words>();
  auto& verb =
      add_verb(parent, "issue", "Make the key and certificate of a node or person: ca.pem, cert.pem and key.pem",
               "umbractl pki issue --dir ~/fleet-ca --role agent --name host1 --dns host1.example.net --out host1-pki");
  verb.add_option("--dir", words->dir, "The certificate authority's directory")->type_name("DIR")->required();
  verb.add_option("--role", words->role, "What it may do")->type_name("controller|agent|edge|admin|viewer")->required();
  verb.add_option("--name", words->subject.name, "Name of the node or person")->type_name("NAME")->required();
  verb.add_option("--dns", words->subject.alt_names,
                  "A DNS name or IP address by which others dial it; may be repeated")
      ->type_name("NAME");
  verb.add_option("--out", words->out, "Where the three files go")->type_name("DIR")->required();
  verb.add_flag("--renew", words->renew,
                "Replace key and certificate that stand there, if they are this node's by this CA");
  add_days(verb, words->days, pki::kNodeValidity);
  verb.callback([&action, words] {
    action = [words](const Context& context) -> Outcome {
      auto role = rpc::parse_role(words->role);
      if (!role) return misused(std::move(role).error());
      words->subject.role = *role;
      return attempt([&]() -> Result<void> {
        UMBRA_CHECK(issue_into(words->dir, words->subject, words->out, std::chrono::days(words->days), words->renew));
        const fs::path out(words->out);
        show_files(context, {{"ca", out / kCa}, {"cert", out / kCertificate}, {"key", out / kKey}});
        return {};
      });
    };
  });
}

Result<boost::json::value> certificate_json(const std::string& file) {
  UMBRA_TRY(const auto certificate, rpc::x509::read_certificate(file));
  boost::json::object json{{"file", file},
                           {"subject", rpc::x509::subject_of(*certificate)},
                           {"role", nullptr},
                           {"alt_names", boost::json::array()},
                           {"not_before_unix_ms", rpc::x509::not_before(*certificate) * 1000},
                           {"not_after_unix_ms", rpc::x509::not_after(*certificate) * 1000}};
  if (const auto identity = rpc::x509::identity_of(*certificate)) {  // a CA has none
    json["role"] = rpc::role_name(identity->role);
    for (const auto& name : identity->alt_names) json["alt_names"].as_array().emplace_back(name);
  }
  return boost::json::value(std::move(json));
}

Result<boost::json::value> crls_json(const std::string& file) {
  UMBRA_TRY(const auto lists, pki::read_crls(file));
  boost::json::array all;
  for (const auto& list : lists) {
    boost::json::array revoked;
    for (const auto& entry : list.revoked) {
      boost::json::object json{
          {"serial", entry.serial}, {"since_unix_ms", entry.since * 1000}, {"name", nullptr}, {"role", nullptr}};
      if (!entry.name.empty()) {
        json["name"] = entry.name;
        json["role"] = rpc::role_name(entry.role);
      }
      revoked.push_back(std::move(json));
    }
    boost::json::object json{{"issuer", list.issuer},
                             {"number", list.number},
                             {"written_unix_ms", list.written * 1000},
                             {"next_update_unix_ms", nullptr},
                             {"revoked", std::move(revoked)}};
    if (list.next_update) json["next_update_unix_ms"] = *list.next_update * 1000;
    all.push_back(std::move(json));
  }
  return boost::json::value(boost::json::object{{"file", file}, {"revocation_lists", std::move(all)}});
}

void add_show(CLI::App& parent, Action& action) {
  auto file = std::make_shared<std::string>();
  auto& verb =
      add_verb(parent, "show", "Show a certificate: whose it is, its role, how long it is valid; or a revocation list",
               "umbractl pki show host1-pki/cert.pem");
  verb.add_option("FILE", *file, "A certificate or revocation list (PEM)")->type_name("")->required();
  verb.callback([&action, file] {
    action = [file](const Context& context) {
      return attempt([&]() -> Result<void> {
        if (context.json()) {
          UMBRA_TRY(const auto json, pki::is_crl(*file) ? crls_json(*file) : certificate_json(*file));
          print(serialize(json) + "\n");
          return {};
        }
        UMBRA_TRY(const auto words, pki::show(*file));
        print(words.ends_with('\n') ? words : words + "\n");
        return {};
      });
    };
  });
}

void add_renew(CLI::App& parent, Action& action) {
  struct Words {
    std::string dir, out;
    std::int64_t days = 0;
  };
  auto words = std::make_shared<Words>();
  auto& verb = add_verb(
      parent, "renew",
      "Extend a certificate that `pki issue` made; its key and its powers stay. One that was revoked is refused",
      "umbractl pki renew --dir ~/fleet-ca --out host1-pki --days 825");
  verb.add_option("--dir", words->dir, "The certificate authority's directory")->type_name("DIR")->required();
  verb.add_option("--out", words->out, "Where the node's files are")->type_name("DIR")->required();
  add_days(verb, words->days, pki::kNodeValidity);
  verb.callback([&action, words] {
    action = [words](const Context& context) {
      return attempt([&]() -> Result<void> {
        const pki::Files files{fs::path(words->out) / kCertificate, fs::path(words->out) / kKey};
        UMBRA_CHECK(pki::renew(words->dir, files, std::chrono::days(words->days)));
        show_files(context, {{"cert", files.certificate}});
        return {};
      });
    };
  });
}

void add_revoke(CLI::App& parent, Action& action) {
  struct Words {
    std::string dir, what;
    std::int64_t days = 0;
  };
  auto words = std::make_shared<Words>();
  auto& verb = add_verb(parent, "revoke",
                        "Revoke all certificates of a name, or one by its file, and write the revocation list anew. It "
                        "counts on a node once `tls.crl` there holds it",
                        "umbractl pki revoke --dir ~/fleet-ca host1");
  add_argument(verb, "NAME", "A node's or person's name, or a certificate's file",
               [words](const std::string& what) { words->what = what; });
  verb.add_option("--dir", words->dir, "The certificate authority's directory")->type_name("DIR")->required();
  add_days(verb, words->days, pki::kCrlValidity);
  verb.callback([&action, words] {
    action = [words](const Context& context) {
      return attempt([&]() -> Result<void> {
        UMBRA_TRY(const auto serials, pki::revoke(words->dir, words->what, std::chrono::days(words->days)));
        const auto list = pki::crl_file(words->dir).string();
        if (context.json()) {
          boost::json::array revoked;
          for (const auto& serial : serials) revoked.emplace_back(serial);
          print(serialize(boost::json::object{{"revoked", std::move(revoked)}, {"crl", list}}) + "\n");
          return {};
        }
        for (const auto& serial : serials) print(fmt::format("revoked      {}\n", serial));
        if (serials.empty()) print("nothing to revoke: all were revoked or over already\n");
        print(fmt::format("{:<12} {}\n", "crl", printable(list)));
        return {};
      });
    };
  });
}

void add_crl(CLI::App& parent, Action& action) {
  struct Words {
    std::string dir, out;
    std::int64_t days = 0;
  };
  auto words = std::make_shared<Words>();
  auto& verb =
      add_verb(parent, "crl",
               "Write the revocation list anew, with a later date; nodes read it within a minute once it is in "
               "its place",
               "umbractl pki crl --dir ~/fleet-ca --out crl.pem");
  verb.add_option("--dir", words->dir, "The certificate authority's directory")->type_name("DIR")->required();
  verb.add_option("--out", words->out, "Where a copy goes; ca.crl in --dir is always written")->type_name("FILE");
  add_days(verb, words->days, pki::kCrlValidity);
  verb.callback([&action, words] {
    action = [words](const Context& context) {
      return attempt([&]() -> Result<void> {
        UMBRA_TRY(auto list, pki::write_crl(words->dir, std::chrono::days(words->days)));
        if (!words->out.empty()) {
          UMBRA_TRY(const auto text, rpc::x509::read_text(list, "revocation list"));
          UMBRA_CHECK(pki::write_file(words->out, text, 0644, pki::Existing::kReplace));
          list = words->out;
        }
        show_files(context, {{"crl", list}});
        return {};
      });
    };
  });
}

}  // namespace

void add_pki_verbs(CLI::App& app, Action& action) {
  auto& verb = add_verb(app, "pki", "Make, renew and revoke the certificates of the fleet; works without a controller",
                        "umbractl pki init --dir ~/fleet-ca");
  verb.require_subcommand(1);
  add_init(verb, action);
  add_issuer(verb, action);
  add_issue(verb, action);
  add_show(verb, action);
  add_renew(verb, action);
  add_revoke(verb, action);
  add_crl(verb, action);
}

}  // namespace umbra::cli
