#include "agentd/guard.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "agentd/network.hpp"
#include "agentd/shadow/describe.hpp"
#include "agentd/shadow/phase.hpp"
#include "agentd/virt/domain_xml.hpp"
#include "agentd/virt/xml_limits.hpp"
#include "base/sqlite.hpp"
#include "base/temporary_directory.hpp"
#include "netswitch/netlink_kernel.hpp"
#include "rpc/dialer.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::agent {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMostLinks = 10'000;
constexpr std::uintmax_t kMostBytes = 1024 * 1024;  // of one definition, and of the file of what is withheld

Result<std::string> text_of(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error) return fail(Errc::kNotFound, "{}: {}", file.string(), error.message());
  if (size > kMostBytes) return fail(Errc::kInvalid, "{} has {} bytes", file.string(), size);
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// Not the tap: who has no metadata of ours may make one himself.
bool has_metadata(const virt::Domain& domain) {
  return !domain.addresses.empty() || !domain.account.empty() || !domain.profile.empty() || domain.restart_on_host_loss;
}

/// Without its links.
Result<Autostarted> read_definition(const fs::path& file, const virt::ForeignRules& rules) {
  UMBRA_TRY(const auto xml, text_of(file));
  UMBRA_CHECK(virt::check_xml(xml));
  UMBRA_TRY(const auto domain, virt::parse_domain(xml, rules));
  const bool may_run_elsewhere = has_metadata(domain) || domain.refusal.empty();
  return Autostarted{domain.uuid, domain.name, {}, {}, may_run_elsewhere, shadow::describe(domain)};
}

/// libvirt-guests' list, which it writes when the host is shut down in order: on each line a URI and uuids.
std::vector<std::vector<std::string>> lines_of(const fs::path& guests_list) {
  std::vector<std::vector<std::string>> lines;
  const auto text = text_of(guests_list);
  if (!text) return lines;
  std::istringstream in(*text);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    lines.emplace_back(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>());
  }
  return lines;
}

Task<v1::WhoseVmsReply> ask(asio::any_io_executor executor, const AgentConfig& config,
                            const std::vector<Autostarted>& vms) {
  UMBRA_CO_TRY(auto tls, rpc::Tls::load(config.tls, v1::ROLE_AGENT));
  v1::WhoseVmsRequest request;
  for (const auto& vm : vms) request.add_vm_uuids(vm.uuid);
  const auto until = std::chrono::steady_clock::now() + config.guard_deadline;
  while (true) {
    const auto left = std::chrono::duration_cast<Deadline>(until - std::chrono::steady_clock::now());
    if (left <= Deadline::zero()) co_return fail(Errc::kTimeout, "no answer in time");
    rpc::Expect expect{config.controller_name, v1::ROLE_CONTROLLER};
    rpc::Services nothing;
    auto address = config.controller_endpoint;
    auto session = co_await rpc::connect(executor, std::move(address), tls, expect, nothing, left);
    if (session) {
      v1::RegistryClient registry(*session);
      auto question = request;
      auto answer = co_await registry.whose_vms(std::move(question), left);
      (*session)->close("the guard has its answer");
      if (answer && answer->owners_size() == static_cast<int>(vms.size())) co_return *answer;
      if (answer) co_return fail(Errc::kCorrupt, "the controller answered about other VMs");
      spdlog::info("{}", answer.error());
    } else {
      spdlog::info("{}", session.error());
    }
    // At boot the network may come up a moment later.
    asio::steady_timer timer(executor, std::chrono::milliseconds(500));
    co_await timer.async_wait(asio::use_awaitable);
  }
}

}  // namespace

fs::path withheld_file(const fs::path& state_dir) {
  return state_dir / "withheld.json";
}

std::vector<Autostarted> autostarted(const fs::path& links, const fs::path& guests_list,
                                     const virt::ForeignRules& rules) {
  std::map<std::string, Autostarted> vms;
  // Of definitions beside the links only those that libvirt-guests has on its list.
  const auto add = [&vms, &rules](const fs::path& directory, const std::set<std::string>* only) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      const bool once = only == nullptr && entry.path().string().ends_with(".xml.once");
      if (!once && entry.path().extension() != ".xml") continue;
      auto vm = read_definition(entry.path(), rules);
      if (!vm) spdlog::warn("{} is left alone: {}", entry.path().string(), vm.error());
      if (!vm || (only != nullptr && !only->contains(vm->uuid))) continue;
      auto& known = vms.try_emplace(vm->uuid, *vm).first->second;
      if (only == nullptr) (once ? known.once : known.link) = entry.path();
      if (vms.size() < kMostLinks) continue;
      spdlog::error("{} has more than {} definitions; the rest is left alone", directory.string(), kMostLinks);
      return;
    }
    if (error) spdlog::info("{}: {}", directory.string(), error.message());
  };
  add(links, nullptr);
  std::set<std::string> listed;
  for (const auto& line : lines_of(guests_list))
    for (const auto& word : line) listed.insert(word);
  if (!listed.empty()) add(links.parent_path(), &listed);
  std::vector<Autostarted> all;
  for (auto& [uuid, vm] : vms) all.push_back(std::move(vm));
  return all;
}

Result<void> unlist(const fs::path& guests_list, const std::set<std::string>& uuids) {
  std::string text;
  bool changed = false;
  for (const auto& line : lines_of(guests_list)) {
    std::string kept;
    for (const auto& word : line) {
      if (uuids.contains(word))
        changed = true;
      else
        kept += (kept.empty() ? "" : " ") + word;
    }
    text += kept + "\n";
  }
  if (!changed) return {};
  std::ofstream out(guests_list, std::ios::trunc);
  if (out << text << std::flush) return {};
  return fail({Errc::kUnavailable, fmt::format("cannot write {}", guests_list.string()), "let the guard write there"});
}

std::optional<std::set<std::string>> moved_away(const fs::path& journal) {
  std::set<std::string> moved;
  if (!fs::exists(journal)) return moved;
  const auto look = [&]() -> Result<void> {
    // A copy: what SQLite makes beside a database would be root's here, and the agent could not open it any more.
    UMBRA_TRY(const auto directory, TemporaryDirectory::make("umbra-guard-"));
    const auto copy = directory.path() / "journal.sqlite";
    std::error_code error;
    fs::copy_file(journal, copy, error);
    if (error) return fail(Errc::kUnavailable, "{}", error.message());
    if (const auto log = journal.string() + "-wal"; fs::exists(log)) fs::copy_file(log, copy.string() + "-wal", error);
    if (error) return fail(Errc::kUnavailable, "{}", error.message());
    UMBRA_TRY(auto database, sqlite::Database::open(copy, sqlite::Durability::kNormal));
    // As the source it is not decided, or has gone, unless the VM came back in a newer epoch, as the standby.
    UMBRA_TRY(auto rows, database.prepare("SELECT s.vm_uuid FROM shadow s LEFT JOIN shadow t ON t.vm_uuid = s.vm_uuid "
                                          "AND t.side = 1 AND t.phase = ?1 WHERE s.side = 0 AND (s.phase IN (?2, ?3) "
                                          "OR (s.phase = ?4 AND length(s.cutover) > 0)) AND "
                                          "coalesce(t.epoch, 0) < s.epoch"));
    const auto number = [](shadow::Phase phase) { return static_cast<int>(phase); };
    rows.bind(number(shadow::Phase::kMoved), number(shadow::Phase::kPromised), number(shadow::Phase::kMoved),
              number(shadow::Phase::kDropped));
    while (true) {
      UMBRA_TRY(const bool more, rows.step());
      if (!more) return {};
      moved.insert(rows.text(0));
    }
  };
  const auto looked = look();
  if (looked) return moved;
  spdlog::warn("the journal cannot be read: {}", looked.error());
  return std::nullopt;
}

std::vector<Withheld> to_withhold(const std::vector<Autostarted>& vms, const std::optional<v1::WhoseVmsReply>& owners,
                                  const std::optional<std::set<std::string>>& moved) {
  std::vector<Withheld> withheld;
  for (std::size_t i = 0; i < vms.size(); ++i) {
    const auto& vm = vms[i];
    const auto withhold = [&](std::string why) { withheld.push_back({vm.uuid, vm.name, std::move(why)}); };
    if (owners) {
      const auto& owner = owners->owners(static_cast<int>(i));
      if (!owner.yours()) withhold(fmt::format("it is {}'s since epoch {}", owner.host(), owner.epoch()));
    } else if (moved && moved->contains(vm.uuid)) {
      withhold("the journal says that it moved away, and the controller cannot be reached");
    } else if (vm.may_run_elsewhere) {
      withhold("it may have been started elsewhere, and the controller cannot be reached");
    } else if (!moved) {
      withhold("the journal cannot be read, and the controller cannot be reached");
    }
  }
  return withheld;
}

Result<std::vector<Withheld>> read_withheld(const fs::path& file) {
  std::vector<Withheld> withheld;
  if (!fs::exists(file)) return withheld;
  UMBRA_TRY(const auto text, text_of(file));
  boost::system::error_code error;
  const auto parsed = json::parse(text, error);
  const auto damaged = [&] {
    return fail({Errc::kCorrupt, fmt::format("{} is damaged", file.string()),
                 "set `virsh autostart` of this host's VMs as it should be, then remove the file"});
  };
  if (error || !parsed.is_array()) return damaged();
  for (const auto& entry : parsed.get_array()) {
    if (!entry.is_object()) return damaged();
    Withheld one;
    for (const auto& [key, into] : {std::pair{"uuid", &one.uuid}, {"name", &one.name}, {"why", &one.why}}) {
      const auto* value = entry.get_object().if_contains(key);
      if (value == nullptr || !value->is_string()) return damaged();
      *into = value->get_string().c_str();
    }
    withheld.push_back(std::move(one));
  }
  return withheld;
}

Result<void> write_withheld(const fs::path& file, const std::vector<Withheld>& withheld) {
  if (withheld.empty()) {
    std::error_code error;
    fs::remove(file, error);
    return {};
  }
  json::array all;
  for (const auto& one : withheld) all.push_back({{"uuid", one.uuid}, {"name", one.name}, {"why", one.why}});
  const auto text = json::serialize(all) + "\n";
  const auto fresh = file.string() + ".new";
  const auto broken = [&](std::string_view what) {
    return fail({Errc::kUnavailable, fmt::format("{} {}: {}", what, fresh, std::strerror(errno)),
                 "free space in the agent's state directory"});
  };
  const int descriptor = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return broken("cannot make");
  ::fchmod(descriptor, 0644);  // the agent, which is another user, reads it
  const bool written =
      ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(descriptor) == 0;
  ::close(descriptor);
  if (!written) return broken("cannot write");
  if (::rename(fresh.c_str(), file.c_str()) != 0) return broken("cannot rename");
  return {};
}

std::vector<Error> make_taps(const std::vector<Autostarted>& vms, const std::vector<Withheld>& withheld,
                             netswitch::Kernel& kernel, const netswitch::SwitchConfig& network) {
  netswitch::Switch fabric(kernel, network);
  Network taps(fabric, {});
  std::vector<Error> failed;
  for (const auto& vm : vms) {
    if (vm.described.tap().empty() || vm.described.addresses().empty()) continue;
    if (std::ranges::find(withheld, vm.uuid, &Withheld::uuid) != withheld.end()) continue;
    const auto made = taps.attach(vm.described);
    if (made) continue;
    auto& error = failed.emplace_back(with_context(
        made.error(), fmt::format("{} will not start, as its tap {} is not ready", vm.name, vm.described.tap())));
    error.remedy = fmt::format("{}{}then virsh start {}", error.remedy, error.remedy.empty() ? "" : "; ", vm.name);
  }
  return failed;
}

Task<void> guard(asio::any_io_executor executor, AgentConfig config) {
  const auto vms = autostarted(config.autostart_dir, config.guests_list, config.foreign);
  if (vms.empty()) {
    spdlog::info("nothing starts VMs here at boot");
    co_return Result<void>{};
  }
  const auto answer = co_await ask(executor, config, vms);
  if (!answer) spdlog::warn("the controller cannot be asked: {}", answer.error());
  const auto owners = answer ? std::optional(*answer) : std::nullopt;
  const auto withheld = to_withhold(vms, owners, moved_away(config.state_dir / "journal.sqlite"));
  const auto before = read_withheld(withheld_file(config.state_dir));
  if (!before) spdlog::warn("{}", before.error());
  auto all = before.value_or(std::vector<Withheld>{});
  for (const auto& one : withheld)
    if (const auto vm = std::ranges::find(vms, one.uuid, &Autostarted::uuid); vm->link.empty())
      continue;  // there is no autostart to be restored
    else if (std::ranges::find(all, one.uuid, &Withheld::uuid) == all.end())
      all.push_back(one);
  // What could not be written down must not start all the same: a person will miss its autostart, nobody its memory.
  if (const auto written = write_withheld(withheld_file(config.state_dir), all); !written)
    spdlog::error("{}", written.error());
  std::set<std::string> uuids;
  for (const auto& one : withheld) uuids.insert(one.uuid);
  auto outcome = unlist(config.guests_list, uuids);
  for (const auto& one : withheld) {
    const auto vm = std::ranges::find(vms, one.uuid, &Autostarted::uuid);
    bool removed = true;
    for (const auto& link : {vm->link, vm->once}) {
      std::error_code error;
      if (!link.empty()) fs::remove(link, error);
      if (!error) continue;
      removed = false;
      outcome = fail({Errc::kUnavailable, fmt::format("cannot remove {}: {}", link.string(), error.message()),
                      "let the guard write there"});
    }
    if (removed) spdlog::warn("{} is not started here: {}", one.name, one.why);
  }
  if (const auto kernel = netswitch::NetlinkKernel::open(); kernel)
    for (const auto& error : make_taps(vms, withheld, **kernel, config.network)) spdlog::error("{}", error);
  else
    spdlog::error("no tap can be made, and no VM starts that needs one: {}", kernel.error());
  co_return outcome;
}

}  // namespace umbra::agent
