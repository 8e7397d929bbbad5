#include <gmock/gmock.h>

#include "agentd/config.hpp"
#include "base/tests/packaged_config.hpp"

namespace umbra::agent {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A whole and right file; each line can be replaced or left out.
std::string file(std::string_view section = "", std::string_view line = "", std::string_view without = "") {
  const std::vector<std::pair<std::string, std::vector<std::string>>> sections{
      {"agent", {"name = 'host1'"}},
      {"controller", {"endpoint = '10.0.0.9:7400'"}},
      {"listen", {"endpoint = '10.0.0.1:7401'"}},
      {"tls", {"ca = '/etc/umbra/ca.pem'", "certificate = '/etc/umbra/host1.pem'", "key = '/etc/umbra/host1.key'"}},
      {"network", {"underlay_address = '10.0.0.1'"}},
      {"capacity", {}},
      {"migration", {}},
      {"shadow", {}},
      {"telemetry", {}},
      {"libvirt", {}},
  };
  std::string text;
  for (const auto& [name, lines] : sections) {
    text += '[' + name + "]\n";
    if (name == section) text += std::string(line) + '\n';
    for (const auto& one : lines) {
      const auto key = name + '.' + one.substr(0, one.find(' '));
      const bool replaced = name == section && one.substr(0, one.find(' ')) == line.substr(0, line.find(' '));
      if (key != without && !replaced) text += one + '\n';
    }
  }
  return text;
}

Result<AgentConfig> parsed(const std::string& text) {
  auto config = Config::parse(text, "agent.toml");
  if (!config) return fail(config.error());
  return AgentConfig::from(*config);
}

TEST(AgentConfig, HasAFallbackForWhatNeedNotBeSaid) {
  const auto config = parsed(file());
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->name, "host1");
  EXPECT_EQ(config->role, NodeRole::kHost);
  EXPECT_EQ(config->zone, "default");
  EXPECT_EQ(config->libvirt_uri, "qemu:///system");
  EXPECT_EQ(config->gates.address, "10.0.0.1") << "the underlay's";
  EXPECT_EQ(config->standby.node, "host1");
  EXPECT_EQ(config->source.node, "host1");
  EXPECT_EQ(config->standby.memory, Bytes{}) << "all that libvirt says there is";
  EXPECT_EQ(config->source.refresh_interval, 5s);
  EXPECT_EQ(config->network.route_protocol, 117);
}

TEST(AgentConfig, TakesWhatIsSaid) {
  auto text = file("shadow", "refresh_interval = '2s'\nreserve_memory = '1GiB'");
  text.replace(text.find("[migration]\n"), 12,
               "[migration]\naddress = '10.1.0.1'\nport_first = 50000\nport_last = 50000\n");
  const auto config = parsed(text);
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->source.refresh_interval, 2s);
  EXPECT_EQ(config->standby.reserve, gibibytes(1));
  EXPECT_EQ(config->gates.address, "10.1.0.1");
  EXPECT_EQ(config->gates.port_first, 50000);
  EXPECT_EQ(config->gates.port_last, 50000) << "one port is a range";
}

struct Wrong {
  std::string section, line;  ///< line 2 of the section's text
  std::string cause, remedy;
};

void PrintTo(const Wrong& wrong, std::ostream* out) {
  *out << '[' << wrong.section << "] " << wrong.line;
}

class WrongValue : public testing::TestWithParam<Wrong> {};

TEST_P(WrongValue, IsNamedByFileLineKeyAndRemedy) {
  const auto text = file(GetParam().section, GetParam().line);
  const auto config = parsed(text);
  ASSERT_FALSE(config) << text;
  EXPECT_EQ(config.error().code, Errc::kInvalid);
  const auto key = GetParam().section + '.' + GetParam().line.substr(0, GetParam().line.find(' '));
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find(GetParam().line)), '\n');
  EXPECT_THAT(config.error().message, HasSubstr(fmt::format("agent.toml:{}: {}: ", line, key)));
  ASSERT_FALSE(GetParam().cause.empty() || GetParam().remedy.empty()) << "an empty one would always match";
  EXPECT_THAT(config.error().message, HasSubstr(GetParam().cause));
  EXPECT_THAT(config.error().remedy, HasSubstr(GetParam().remedy));
}

INSTANTIATE_TEST_SUITE_P(
    AgentConfig, WrongValue,
    testing::Values(Wrong{"agent", "role = 'router'", "'router' is no role", "host or edge"},
                    Wrong{"agent", "name = 5", "is not a string", "give a string"},
                    Wrong{"agent", "log_level = 'loud'", "'loud' is no log level",
                          "allowed are trace, debug, info, warning, error"},
                    Wrong{"controller", "endpoint = 'controller1'", "controller1", "host1.example.net:7443"},
                    Wrong{"controller", "endpoint = 'controller1:'", "controller1:", "host1.example.net:7443"},
                    Wrong{"controller", "endpoint = 'controller1:https'", "https", "host1.example.net:7443"},
                    Wrong{"controller", "endpoint = '10.0.0.9:70000'", "70000", "host1.example.net:7443"},
                    Wrong{"controller", "endpoint = 'fd00::9:7400'", "fd00::9", "[fd00::1]:7443"},
                    Wrong{"listen", "endpoint = 'host1:7401'", "host1:7401", "10.0.0.1:7443"},
                    Wrong{"listen", "endpoint = '10.0.0.1'", "10.0.0.1", "10.0.0.1:7443"},
                    Wrong{"listen", "endpoint = '[::]:7401'", "cannot dial '[::]:7401'", "under which they reach"},
                    Wrong{"listen", "endpoint = '10.0.0.1:0'", "cannot dial '10.0.0.1:0'", "under which they reach"},
                    Wrong{"network", "underlay_address = 'host1'", "host1", "10.50.0.1"},
                    Wrong{"network", "underlay_address = '10.0.0.1/24'", "10.0.0.1/24", "without a prefix length"},
                    Wrong{"network", "underlay_address = '0.0.0.0'", "no address of one host", "other hosts reach"},
                    Wrong{"network", "gateway_mac = 'ee:ee'", "ee:ee", "52:54:00:00:00:01"},
                    Wrong{"network", "gateway_mac = '01:00:5e:00:00:01'", "is a group address", "ee:ee:ee:ee:ee:01"},
                    Wrong{"network", "gateway_mac = '00:00:00:00:00:00'", "or zero", "ee:ee:ee:ee:ee:01"},
                    Wrong{"network", "gateway_address = '300.1.1.1'", "300.1.1.1", "10.50.0.1"},
                    Wrong{"network", "gateway_address = 'fd00::1'", "no IPv4 address", "169.254.1.1"},
                    Wrong{"network", "gateway_address = '224.0.0.1'", "224.0.0.1", "169.254.1.1"},
                    Wrong{"network", "route_protocol = 4", "4", "5"},
                    Wrong{"network", "route_protocol = 256", "256", "255"},
                    Wrong{"capacity", "memory = 'lots'", "lots", "256MiB"}, Wrong{"capacity", "cpus = -1", "-1", "0"},
                    Wrong{"migration", "address = 'fast-lane'", "fast-lane", "10.50.0.1"},
                    Wrong{"migration", "address = '127.0.0.1'", "no address of one host", "other hosts reach"},
                    Wrong{"migration", "port_first = 80", "80", "1024"},
                    Wrong{"migration", "gate = '/nonexistent'", "'/nonexistent' is no program", "path of umbra-gate"},
                    Wrong{"migration", "gate = '/tmp'", "'/tmp' is no program", "path of umbra-gate"},
                    Wrong{"migration", "port_last = 49200", "below port_first", "at least one port"},
                    Wrong{"shadow", "refresh_interval = '5 parsecs'", "5 parsecs", "250ms"},
                    Wrong{"shadow", "refresh_interval = '0s'", "is not longer than 0", "250ms or 5s"},
                    Wrong{"shadow", "reserve_memory = '1 furlong'", "1 furlong", "256MiB"},
                    Wrong{"shadow", "blackout_budget = 3", "is not a duration in quotes", "give a duration in quotes"},
                    Wrong{"shadow", "blackout_budget = '10h'", "is no budget for a blackout", "at most 1000 ms"},
                    Wrong{"migration", "port_first = 7000", "7401, the agent's own port", "listen.endpoint"},
                    Wrong{"shadow", "blackout_budget = '0ms'", "is not longer than 0", "250ms or 5s"},
                    Wrong{"telemetry", "interval = '0s'", "is not longer than 0", "250ms or 5s"},
                    Wrong{"telemetry", "interval = 'often'", "often", "250ms"}),
    [](const auto& one) {
      auto name = one.param.section + '_' + one.param.line.substr(0, one.param.line.find(' '));
      return name + '_' + std::to_string(one.index);
    });

class MissingValue : public testing::TestWithParam<const char*> {};

TEST_P(MissingValue, IsNamed) {
  const auto config = parsed(file("", "", GetParam()));
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr(GetParam()));
  EXPECT_THAT(config.error().message, HasSubstr("agent.toml"));
  EXPECT_EQ(config.error().remedy, "give it a value; docs/configuration.md tells what it means");
}

INSTANTIATE_TEST_SUITE_P(AgentConfig, MissingValue,
                         testing::Values("agent.name", "controller.endpoint", "listen.endpoint", "tls.ca",
                                         "tls.certificate", "tls.key", "network.underlay_address"),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(AgentConfig, RefusesAKeyThatNobodyKnows) {
  const auto config = parsed(file("shadow", "refresh_intervall = '5s'"));
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("unknown key shadow.refresh_intervall"));
  EXPECT_EQ(config.error().remedy, "correct or remove it");
}

constexpr auto agent_keys = test::printed_keys<AgentConfig>;

TEST(AgentConfig, IsPrintedSoThatItReadsTheSame) {
  const auto keys = agent_keys(Config::parse(
      file("shadow", "refresh_interval = '90s'\nreserve_memory = '1GiB'\nallowed_paths = ['/srv/a', '/srv/\"b\"']"),
      "agent.toml"));
  EXPECT_THAT(keys, HasSubstr("refresh_interval = \"90s\"\n"));
  EXPECT_THAT(keys, HasSubstr("allowed_paths = [\"/srv/a\", \"/srv/\\\"b\\\"\"]\n"));
  EXPECT_THAT(keys, HasSubstr("address = \"10.0.0.1\"\n")) << "migration.address, the underlay's";
  EXPECT_EQ(agent_keys(Config::parse(keys, "printed.toml")), keys);
}

class PackagedAgentConfig : public test::PackagedConfig<AgentConfig> {
 protected:
  PackagedAgentConfig() : PackagedConfig("agentd.toml") {}
};

TEST_F(PackagedAgentConfig, NamesEveryKeyAndNoOther) {
  EXPECT_EQ(test::keys_of(test::with_examples(test::text_of(packaged))),
            test::keys_of(agent_keys(Config::parse(file(), "agent.toml"))));
}

TEST_F(PackagedAgentConfig, ChangesNothing) {
  EXPECT_EQ(keys_over_packaged(file()), agent_keys(Config::parse(file(), "agent.toml")));
}

TEST_F(PackagedAgentConfig, HasExamplesThatMayBeTaken) {
  auto text = test::with_examples(test::text_of(packaged));
  const auto gate = text.find("gate = ");
  text.replace(gate, text.find('\n', gate) - gate, "gate = ''");  // it must be there, which it is once installed
  EXPECT_EQ(agent_keys(Config::parse(keys_over_packaged(text), "printed.toml")), keys_over_packaged(text));
  EXPECT_THAT(keys_over_packaged(text), HasSubstr("[agent]\n"));
}

}  // namespace
}  // namespace umbra::agent
