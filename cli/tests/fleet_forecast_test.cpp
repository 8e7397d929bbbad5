// umbractl forecast NAME, against a fleet in memory over the real wire.
#include <fstream>
#include <sstream>

#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class FleetForecast : public UmbractlTest {};

TEST_F(FleetForecast, OfAVmIsATable) {
  const auto ran = run({"forecast", "web1", "--horizon", "10min", "--quantile", "0.9"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("web1 (vm): cores, 10 min ahead in steps of 5 min, learned from 1 d\n"));
  EXPECT_THAT(ran.out, HasSubstr("13 % that 4 cores are exceeded within 10 min\n"));
  EXPECT_THAT(ran.out, HasSubstr("95 % certain that it grows in a way that was not expected\n"));
  // Of 95 % the edges are the quantiles 0.025 and 0.975: 1 ± 0.0475 a step, and 1 + 0.04 a step for 0.9.
  EXPECT_THAT(ran.out, HasSubstr("FROM                  MEAN  LOWER 95%  UPPER 95%   Q0.9\n"
                                 "2026-05-01 12:00:00  1.000      0.953      1.048  1.040\n"
                                 "2026-05-01 12:05:00  1.000      0.905      1.095  1.080\n"));
}

TEST_F(FleetForecast, OfAHostIsAvailableAsJson) {
  const auto json = run_json({"forecast", "host1", "--of", "host", "--interval", "0.8", "--capacity", "3"});
  EXPECT_EQ(json.at("scope"), "host");
  EXPECT_EQ(json.at("vms"), 2);
  EXPECT_EQ(json.at("vms_unknown"), 1);
  EXPECT_EQ(json.at("capacity"), 3);
  EXPECT_EQ(json.at("p_exceed"), 0.125);
  const auto& steps = json.at("steps").as_array();
  ASSERT_EQ(steps.size(), 24U) << "two hours unless told";
  EXPECT_EQ(steps.at(0).at("at"), "2026-05-01T12:00:00Z");
  EXPECT_NEAR(steps.at(0).at("lower").as_double(), 0.96, 1e-9);
  EXPECT_NEAR(steps.at(23).at("upper").as_double(), 1.96, 1e-9);
  EXPECT_THAT(run({"forecast", "host1"}).out, HasSubstr("1 of them without any history yet, counted as nothing\n"));
}

TEST_F(FleetForecast, SaysOfAVmAndOfAnAccountWhetherItGrows) {
  EXPECT_EQ(run_json({"forecast", "web1"}).at("growth_probability"), 0.95);
  EXPECT_EQ(run_json({"forecast", "acme"}).at("growth_probability"), 0.95);
  EXPECT_FALSE(run_json({"forecast", "host1"}).as_object().contains("growth_probability"));
}

TEST_F(FleetForecast, IsDrawn) {
  const auto file = write_file("host1.svg", "");
  const auto ran = run({"forecast", "host1", "--svg", file, "--history", "1h"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  std::ostringstream svg;
  svg << std::ifstream(file).rdbuf();
  EXPECT_THAT(svg.str(), HasSubstr("<svg "));
  EXPECT_THAT(svg.str(), HasSubstr("CPU demand of this host, forecast 2 h ahead from 2026-05-01T12:00:00Z"));
  EXPECT_THAT(svg.str(), Not(HasSubstr("nan")));
}

TEST_F(FleetForecast, SaysWhyThereIsNone) {
  const auto refused = [&](std::vector<std::string> arguments, int status, const std::string& why) {
    arguments.insert(arguments.begin(), "forecast");
    const auto ran = run(arguments);
    EXPECT_EQ(ran.status, status) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(why));
    EXPECT_EQ(ran.out, "");
  };
  refused({"web9"}, 1, "no VM 'web9'");
  refused({"db1"}, 1, "nothing is known yet of the demand of db1");
  refused({}, 2, "name a VM, host, account or zone, or give --file F");
  refused({"web1", "--file", "x.csv"}, 2, "both a name and a file");
  refused({"web1", "--horizon", "24"}, 2, "--horizon '24' is no duration");
  refused({"web1", "--horizon", "1h", "--window", "2h"}, 2, "is longer than the horizon");
  refused({"web1", "--season", "24"}, 2, "are for files");
  refused({"web1", "--of", "rack"}, 2, "rack");
  refused({"--file", "x.csv"}, 2, "--horizon is required with --file");
  refused({"--file", "x.csv", "--horizon", "2h"}, 2, "--horizon '2h' is no number of steps");
  refused({"--file", "x.csv", "--horizon", "2", "--of", "vm"}, 2, "are for the fleet");
  refused({"web1", "--svg", "/nowhere/x.svg"}, 2, "/nowhere");
}

}  // namespace
}  // namespace umbra::cli::test
