#include "tests/integration/fleet.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace umbra::test {
namespace {

constexpr const char* kMemoryMib = "160";
constexpr const char* kCanary = "64:128";

Words joined(Words first, const Words& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

Done must(const Words& words, std::chrono::milliseconds deadline) {
  auto done = run(words, deadline);
  if (done.status == 0) return done;
  std::string line;
  for (const auto& word : words) line += word + " ";
  throw std::runtime_error(line + "failed: " + done.err + done.out);
}

std::string trimmed(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  return text;
}

std::string own_name() {
  return "it" + std::to_string(::getpid());
}

}  // namespace

std::string Fleet::directory_of_this_process() {
  const char* base = std::getenv("UMBRA_LAB_DIR");
  return std::string(base != nullptr ? base : "/run/umbra-lab") + "/" + own_name();
}

Fleet::Fleet(const Words& options) : name_(own_name()) {
  ::setenv("UMBRA_BIN", UMBRA_BIN, 0);
  lab(joined({"up"}, options), 180s);  // a failed `up` takes back what it made
}

Fleet::~Fleet() {
  Words down{"down"};
  const auto* suite = testing::UnitTest::GetInstance()->current_test_suite();
  if (std::string logs = "/tmp/umbra-it-XXXXXX"; suite != nullptr && suite->Failed() && ::mkdtemp(logs.data())) {
    std::cerr << "the logs of the lab are in " << logs << '\n';
    down.insert(down.end(), {"--logs", logs});
  }
  try {
    if (const auto done = run(lab_words(down), 120s); done.status != 0) std::cerr << done.err;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

Words Fleet::lab_words(Words words) const {
  return joined({UMBRA_SOURCE "/lab/umbra-lab", "--lab", name_}, words);
}

std::string Fleet::lab(Words words, std::chrono::milliseconds deadline) const {
  return must(lab_words(std::move(words)), deadline).out;
}

Done Fleet::ctl(Words words, std::chrono::milliseconds deadline) const {
  return run(lab_words(joined({"ctl"}, words)), deadline);
}

boost::json::value Fleet::ask(Words words, std::chrono::milliseconds deadline) const {
  words.insert(words.end(), {"-o", "json"});
  return boost::json::parse(must(lab_words(joined({"ctl"}, words)), deadline).out);
}

boost::json::array Fleet::list(const std::string& what) const {
  return ask({what}).at(what).as_array();
}

bool Fleet::host_usable(const std::string& name) const {
  const auto hosts = list("hosts");
  return std::ranges::any_of(hosts, [&](const auto& host) {
    return host.at("node").at("name").as_string() == name && host.at("up").as_bool() &&
           host.at("hypervisor_up").as_bool();
  });
}

bool Fleet::serves(const std::string& node, const std::string& service) const {
  const auto status = boost::json::parse(lab({"status", "-o", "json"}));
  const auto& nodes = status.at("nodes").as_array();
  return std::ranges::any_of(nodes, [&](const auto& shown) {
    return shown.at("name").as_string() == node && shown.at("services").at(service).is_number();
  });
}

std::string Fleet::add_vm(const std::string& name, const std::string& host) const {
  auto address = trimmed(lab({"vm", "add", name, "--host", host, "--memory", kMemoryMib, "--canary", kCanary}, 180s));
  await(name + " is known to run", [&] {
    const auto done = ctl({"vms", name, "-o", "json"});
    return done.status == 0 && done.out.find("\"state\":\"running\"") != std::string::npos;
  });
  return address;
}

boost::json::object Fleet::vm(const std::string& name) const {
  return ask({"vms", name}).at("vms").at(0).as_object();
}

std::string Fleet::shadow_phase(const std::string& name) const {
  const auto seen = vm(name);
  return seen.at("shadow").is_null() ? "" : std::string(seen.at("shadow").at("phase").as_string());
}

void Fleet::await_refresh(const std::string& name) const {
  using std::chrono::system_clock;
  const auto asked = std::chrono::duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch());
  await("the shadow of " + name + " is refreshed", [&] {
    const auto shadow = vm(name).at("shadow");
    return !shadow.is_null() && shadow.at("refreshed_at_unix_ms").to_number<std::int64_t>() > asked.count();
  });
}

void Fleet::keep(const std::string& name, const std::string& to, const std::string& tier) const {
  must(lab_words({"ctl", "shadow", "keep", name, "--to", to, "--tier", tier}), 120s);
}

std::string Fleet::console(const std::string& name) const {
  return lab({"vm", "console", name, "--log"});
}

std::int64_t Fleet::damage(const std::string& name) const {
  const auto listed = boost::json::parse(lab({"vm", "list", "-o", "json"}));
  for (const auto& vm : listed.as_array())
    if (vm.at("name").as_string() == name) return vm.at("canary").at("bad").to_number<std::int64_t>();
  throw std::runtime_error("there is no VM " + name);
}

std::string Fleet::domain(const std::string& host, const std::string& name) const {
  const auto done = run(lab_words({"exec", host, "--", "virsh", "domstate", name}));
  return done.status == 0 ? trimmed(done.out) : "";
}

std::string Fleet::qemu(const std::string& host, const std::string& name) const {
  return trimmed(in(host, {"pgrep", "-f", "guest=" + name + ","}));
}

std::string Fleet::virsh(const std::string& host, Words words) const {
  return trimmed(in(host, joined({"virsh", "-q"}, words)));
}

std::string Fleet::in(const std::string& node, Words words) const {
  return lab(joined({"exec", node, "--"}, words));
}

std::string Fleet::route(const std::string& node, const std::string& address) const {
  return trimmed(in(node, {"ip", "-4", "route", "show", address}));
}

std::vector<std::string> Fleet::events(const std::string& kind, const std::string& vm) const {
  std::vector<std::string> texts;
  const auto listed = ask({"events", "--last", "1000"});
  for (const auto& event : listed.at("events").as_array())
    if (event.at("kind").as_string() == kind && (vm.empty() || event.at("vm").as_string() == vm))
      texts.emplace_back(event.at("text").as_string());
  return texts;
}

Traffic::Traffic(const Fleet& fleet, const std::string& vm)
    : probe_(fleet.lab_words({"probe", vm, "--seconds", "300", "--rate", "500"})),
      session_(fleet.lab_words({"session", vm, "--seconds", "300"})) {
  std::this_thread::sleep_for(1500ms);  // both are under way, and the path has been seen whole
}

Traffic::Seen Traffic::finish() {
  std::this_thread::sleep_for(1500ms);  // what was on its way has arrived
  probe_.terminate();
  session_.terminate();
  const auto probe = boost::json::parse(probe_.finish().out);
  const auto session = boost::json::parse(session_.finish().out);
  return {probe.at("sent").as_int64(), probe.at("lost").as_int64(), session.at("survived").as_bool(),
          std::string(session.at("error").as_string())};
}

std::string text_of(const std::string& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

Spoilt::Spoilt(std::string file, const std::string& content) : file_(std::move(file)), right_(text_of(file_)) {
  std::ofstream(file_) << content;
}

Spoilt::~Spoilt() {
  std::ofstream(file_) << right_;
}

void await(const std::string& what, const std::function<bool()>& ready, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!ready()) {
    if (std::chrono::steady_clock::now() >= end)
      throw std::runtime_error(what + ": not within " + std::to_string(deadline.count() / 1000) + " s");
    std::this_thread::sleep_for(200ms);
  }
}

void moves_whole(const Fleet& fleet, const std::string& vm, const std::string& to) {
  Traffic traffic(fleet, vm);
  EXPECT_EQ(fleet.ask({"cutover", vm}).at("outcome").as_string(), "moved");
  const auto seen = traffic.finish();
  EXPECT_LE(seen.lost, 1);
  EXPECT_TRUE(seen.session_survived) << seen.error;
  EXPECT_EQ(fleet.damage(vm), 0);
  EXPECT_EQ(fleet.vm(vm).at("host").as_string(), to);
  fleet.ctl({"shadow", "drop", vm});
}

}  // namespace umbra::test
