// Verbs that need no controller: forecasts of series in files.
#include <cmath>
#include <numbers>
#include <sstream>

#include "cli/tests/umbractl_fixture.hpp"

namespace umbra::cli::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string text_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<double> numbers_of(const std::string& line) {
  std::vector<double> numbers;
  std::istringstream in(line.substr(line.find(',') + 1));
  for (std::string field; std::getline(in, field, ',');) numbers.push_back(std::stod(field));
  return numbers;
}

class ForecastVerbs : public UmbractlTest {
 protected:
  ForecastVerbs() { environment.erase("UMBRA_CONTROLLER"); }

  static double wave(std::size_t hour) {
    return 50 + 20 * std::sin(2 * std::numbers::pi * static_cast<double>(hour) / 24);
  }

  /// Two series of hourly values, from 2026-05-01 on.
  std::string days(std::size_t count) const {
    std::string text = "series,timestamp,value\n";
    for (std::size_t hour = 0; hour < 24 * count; ++hour) {
      const auto at = 1777593600 + 3600 * hour;
      text += fmt::format("\"web, 1\",{},{:.3f}\n", at, wave(hour) + static_cast<double>(hour * 7919 % 13) / 10);
      text += fmt::format("db1,{},5\n", at);
    }
    return write_file("days.csv", text);
  }
};

TEST_F(ForecastVerbs, ForecastAFileAsCsvWithoutAController) {
  const auto ran = run({"forecast", "--file", days(14), "--horizon", "24", "--season", "24", "--quantile", "0.5",
                        "--quantile", "0.9", "--capacity", "60", "--window", "12"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 1U + 2 * 24);
  EXPECT_EQ(lines[0], "series,step,mean,lower,upper,q0.5,q0.9,p_exceed");
  EXPECT_THAT(lines[1], StartsWith("\"web, 1\",1,"));
  for (std::size_t hour = 0; hour < 24; ++hour) {
    const auto row = numbers_of(lines[1 + hour].substr(8));
    EXPECT_EQ(row[0], static_cast<double>(hour + 1));
    EXPECT_NEAR(row[1], wave(hour) + 0.6, 2.5) << hour;
    EXPECT_LE(row[2], row[4]);
    EXPECT_LE(row[4], row[5]);
    EXPECT_LE(row[5], row[3]) << "95 % are within the interval, so 90 % are below its upper end";
    EXPECT_GT(row[6], 0.9) << "in the first twelve hours the day rises to 70";
    EXPECT_THAT(lines[25 + hour], StartsWith(fmt::format("db1,{},5,5,5,5,5,0.0", hour + 1)));
  }
}

TEST_F(ForecastVerbs, FindTheSeasonThemselvesAndSayWhenInJson) {
  const auto told = run_json({"forecast", "--file", days(14), "--horizon", "2"}).at("forecasts");
  EXPECT_EQ(told.at(0).at("series"), "web, 1");
  EXPECT_EQ(told.at(0).at("seasons").at(0), 24);
  EXPECT_EQ(told.at(0).at("steps").at(1).at("at").as_string(), "2026-05-15T01:00:00Z");
  EXPECT_TRUE(told.at(1).at("seasons").as_array().empty()) << "a constant has none";
}

TEST_F(ForecastVerbs, SayInJsonWhichModelsLeadAndHowFarTheyWereMoved) {
  const auto told = run_json({"forecast", "--file", days(14), "--horizon", "2"}).at("forecasts").at(0);
  const auto& leaders = told.at("leaders").as_array();
  ASSERT_EQ(leaders.size(), 3U);
  EXPECT_GT(leaders[0].at("share").as_double(), leaders[2].at("share").as_double());
  EXPECT_FALSE(leaders[0].at("model").as_string().empty());
  EXPECT_GT(told.at("moved_from_prior").as_double(), 0);
}

TEST_F(ForecastVerbs, KnowWhatACalendarSaysOfTheFuture) {
  std::string text = "timestamp,value\n", events = "name,start,end\n";
  for (std::size_t hour = 0; hour < 24 * 28; ++hour)
    text += fmt::format("{},{}\n", 1777593600 + 3600 * hour, wave(hour) + (hour * hour % 61 == 5 ? 40 : 0));
  for (std::size_t hour = 0; hour < 24 * 29; ++hour)
    if (hour * hour % 61 == 5 || hour == 24 * 28 + 3)
      events += fmt::format("launch,{0},{1}\n", 1777593600 + 3600 * hour, 1777593600 + 3600 * (hour + 1));
  const auto file = write_file("launches.csv", text), calendar = write_file("events.csv", events);
  const auto row = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"forecast", "--file", file, "--horizon", "6", "--season", "24"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto ran = run(arguments);
    EXPECT_EQ(ran.status, 0) << ran.err;
    return numbers_of(lines_of(ran.out).at(4));
  };
  EXPECT_GT(row({"--calendar", calendar})[1], row({})[1] + 10) << "a launch in the fourth hour";
}

TEST_F(ForecastVerbs, JudgeThemselvesAgainstTheSimpleRules) {
  const auto ran =
      run({"backtest", "--file", days(21), "--horizon", "24", "--season", "24", "--origins", "3", "--capacity", "60"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, StartsWith("METHOD"));
  for (const auto* method : {"umbra", "naive", "seasonal-naive", "simple-smoothing", "holt-winters"})
    EXPECT_THAT(ran.out, HasSubstr(std::string("\n") + method + "  "));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("BRIER"), HasSubstr("TIME")));
  const auto json = run_json({"backtest", "--file", days(21), "--horizon", "24", "--season", "24", "--origins", "3"});
  const auto& methods = json.at("series").at(0).at("methods");
  EXPECT_LT(methods.at("umbra").at("mase").as_double(), methods.at("naive").at("mase").as_double());
  EXPECT_EQ(json.at("series").at(1).at("methods").at("umbra").at("origins"), 0) << "a constant cannot be judged";
}

TEST_F(ForecastVerbs, ForecastTheSharesOfClientLocations) {
  // Of each step's demand in the one place three quarters are in the other a step later, and the reverse.
  std::string text = "series,timestamp,value\n";
  double east = 90, west = 10;
  for (int step = 0; step < 200; ++step) {
    text += fmt::format("\"ea,st\",{0},{1}\nwest,{0},{2}\n", step, east, west);
    std::tie(east, west) = std::pair{0.25 * east + 0.75 * west, 0.75 * east + 0.25 * west};
    if (step % 20 == 19) east = 90, west = 10;  // they come anew
  }
  const auto file = write_file("places.csv", text);
  const auto ran = run({"forecast", "--file", file, "--shares", "--horizon", "3"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 1U + 2 * 3);
  EXPECT_EQ(lines[0], "series,step,share,deviation");
  EXPECT_THAT(lines[1], StartsWith("\"ea,st\",1,"));
  const auto json = run_json({"forecast", "--file", file, "--shares", "--horizon", "3"});
  const auto& shares = json.at("shares").as_array();
  for (std::size_t step = 0; step < 3; ++step)
    EXPECT_NEAR(shares.at(0).at("steps").at(step).at("share").as_double() +
                    shares.at(1).at("steps").at(step).at("share").as_double(),
                1, 1e-6);
  EXPECT_EQ(json.at("moves_into_next_step").as_array().size(), 4U);

  const auto differing = write_file("differ.csv", "series,timestamp,value\na,0,1\na,2,1\na,4,1\nb,1,1\nb,3,1\nb,5,1\n");
  const auto refused = run({"forecast", "--file", differing, "--shares", "--horizon", "3"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("the steps of a and b differ"));
  EXPECT_EQ(run({"forecast", "--file", file, "--shares", "--horizon", "3", "--capacity", "1"}).status, 2);
  EXPECT_EQ(run({"forecast", "web1", "--shares"}).status, 2);
}

TEST_F(ForecastVerbs, DrawAPictureToAFileOrAPipe) {
  const auto file = days(14), svg = (fleet.directory() / "days.svg").string();
  const auto calendar = write_file("events.csv", "name,start,end\nlaunch,2026-05-14,2026-05-16\n");
  const std::vector<std::string> plot{"plot",       "--file", file,         "--horizon", "24",     "--season", "24",
                                      "--calendar", calendar, "--capacity", "60",        "--unit", "cores"};
  const auto piped = run(plot);
  ASSERT_EQ(piped.status, 0) << piped.err;
  EXPECT_THAT(piped.out, AllOf(StartsWith("<svg "), EndsWith("</svg>\n")));
  for (const auto* what : {">web, 1<", ">db1<", ">cores<", ">launch<", ">now<", ">95 % interval<", ">50 %<",
                           ">capacity 60<", ">P(exceeded) ", "1 d ahead (24 steps of 1 h)"})
    EXPECT_THAT(piped.out, HasSubstr(what));
  auto to_file = plot;
  to_file.insert(to_file.end(), {"--svg", svg});
  const auto told = run_json(to_file);
  EXPECT_EQ(told.at("svg").as_string(), svg);
  EXPECT_EQ(told.at("series"), 2);
  EXPECT_EQ(text_of(svg), piped.out);
}

TEST_F(ForecastVerbs, ShowAsMuchOfThePastAsAskedFor) {
  const auto values_in = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"plot", "--file", days(14), "--horizon", "2", "--season", "24"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto out = run(arguments).out;
    const auto at = out.find("a history of ");
    return at == std::string::npos ? 0 : std::stoi(out.substr(at + 13));
  };
  EXPECT_EQ(values_in({}), 3 * 24) << "three seasons are more than four horizons";
  EXPECT_EQ(values_in({"--history", "100"}), 100);
  EXPECT_EQ(values_in({"--history", "1000"}), 14 * 24) << "all that there is";
}

TEST_F(ForecastVerbs, DrawBesideWhatTheyPrint) {
  const auto svg = (fleet.directory() / "more.svg").string();
  const std::vector<std::string> file{"--file", days(14), "--horizon", "12", "--season", "24"};
  const auto both = [&](std::string verb) {
    std::vector<std::string> plain{verb}, drawn{verb};
    plain.insert(plain.end(), file.begin(), file.end());
    drawn.insert(drawn.end(), file.begin(), file.end());
    drawn.insert(drawn.end(), {"--svg", svg});
    return std::pair(run(plain), run(drawn));
  };
  const auto [plain, drawn] = both("forecast");
  ASSERT_EQ(drawn.status, 0) << drawn.err;
  EXPECT_EQ(drawn.out, plain.out) << "the picture changes no number";
  EXPECT_THAT(text_of(svg), AllOf(HasSubstr("class=\"forecast\""), Not(HasSubstr(">what came<"))));
  const auto [judged, judged_and_drawn] = both("backtest");
  ASSERT_EQ(judged_and_drawn.status, 0) << judged_and_drawn.err;
  EXPECT_EQ(lines_of(judged_and_drawn.out).size(), lines_of(judged.out).size());
  EXPECT_THAT(text_of(svg), AllOf(HasSubstr("class=\"came\""), HasSubstr(">what came<")));
}

TEST_F(ForecastVerbs, TellWhatTheyWentOnWithout) {
  std::string series = "series,timestamp,value\n", prices = "timestamp,price\n";
  for (int hour = 0; hour < 30; ++hour) {
    for (int name = 0; name < 14; ++name) series += fmt::format("vm{},{},{}\n", name, hour, hour % 5 + name);
    if (hour >= 10) prices += fmt::format("{},{}\n", hour, hour % 3);
  }
  prices += "30,1\n31,2\n";
  const auto drawn = write_file("many.svg", "");
  const std::vector<std::string> forecast{"forecast",
                                          "--file",
                                          write_file("many.csv", series),
                                          "--regressors",
                                          write_file("prices.csv", prices),
                                          "--horizon",
                                          "2",
                                          "--season",
                                          "5",
                                          "--svg",
                                          drawn};
  EXPECT_EQ(run(forecast).err, "") << "nobody watches";
  auto watched = forecast;
  watched.push_back("--verbose");
  const auto ran = run(watched);
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto told = lines_of(ran.err);
  const auto once = [&](const std::string& words) {
    return std::count_if(told.begin(), told.end(),
                         [&](const std::string& line) { return line.find(words) != std::string::npos; });
  };
  EXPECT_EQ(once("prices.csv: "), 1) << ran.err;
  EXPECT_EQ(once("many.svg: the first 12 of 14 series"), 1) << ran.err;
}

TEST_F(ForecastVerbs, PutAPictureInPlaceOfAnOldOneWhole) {
  const auto old = write_file("old.svg", "old");
  const auto link = fleet.directory() / "link.svg";
  std::filesystem::create_symlink(old, link);
  std::filesystem::permissions(old, std::filesystem::perms(0640));
  const auto ran = run({"plot", "--file", days(3), "--horizon", "2", "--season", "24", "--svg", link.string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_THAT(text_of(old), StartsWith("<svg "));
  EXPECT_EQ(std::filesystem::status(old).permissions(), std::filesystem::perms(0640));
  for (const auto& entry : std::filesystem::directory_iterator(fleet.directory()))
    EXPECT_THAT(entry.path().filename().string(), Not(StartsWith(".umbractl"))) << "nothing is left over";
}

TEST_F(ForecastVerbs, RefuseAPictureThatHasNowhereToGo) {
  const auto file = days(3);
  const auto refused = [&](const std::string& verb, const std::string& svg, int status, const std::string& why) {
    const auto ran = run({verb, "--file", file, "--horizon", "2", "--season", "24", "--svg", svg});
    EXPECT_EQ(ran.status, status) << verb;
    EXPECT_THAT(ran.err, AllOf(HasSubstr("cannot write " + svg + ": " + why), HasSubstr("remedy: ")));
    EXPECT_EQ(ran.out, "") << "nothing half done";
  };
  for (const auto* verb : {"plot", "forecast", "backtest"}) {
    refused(verb, "/nowhere/x.svg", 2, "No such file or directory");
    refused(verb, fleet.directory().string(), 2, "Is a directory");
    refused(verb, "/dev/full", 1, "No space left on device");
  }
  const std::vector<std::string> plot{"plot", "--file", file, "--horizon", "2"};
  const auto on_terminal = Process(command(plot), environment, false, true).wait();
  EXPECT_EQ(on_terminal.status, 2);
  EXPECT_THAT(on_terminal.err, HasSubstr("give --svg FILE, or redirect the output"));
  EXPECT_EQ(on_terminal.out, "");
  auto json = plot;
  json.insert(json.end(), {"-o", "json"});
  EXPECT_THAT(run(json).err, HasSubstr("cannot hold both"));
}

TEST_F(ForecastVerbs, RefuseBadInputWithFileAndLine) {
  const auto refused = [&](std::vector<std::string> arguments, const std::string& why) {
    const auto ran = run(std::move(arguments));
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.err, HasSubstr(why));
    EXPECT_EQ(ran.out, "") << "nothing half done";
  };
  const auto bad = write_file("bad.csv", "series,timestamp,value\na,1,2\na,2,x\n");
  const auto empty = write_file("empty.csv", "series,timestamp,value\na,1,2\na,2,3\nb,1,\nb,2,\n");
  const auto short_one = write_file("short.csv", "series,timestamp,value\na,1,2\na,2,3\n");
  refused({"forecast", "--file", bad, "--horizon", "3"}, "bad.csv:3");
  refused({"forecast", "--file", empty, "--horizon", "3"}, "series 'b' has no value");
  refused({"forecast", "--file", "/nowhere.csv", "--horizon", "3"}, "cannot read /nowhere.csv: No such file");
  refused({"forecast", "--file", "/tmp", "--horizon", "3"}, "Is a directory");
  refused({"forecast", "--file", short_one, "--horizon", "0"}, "--horizon");
  refused({"forecast", "--file", short_one, "--horizon", "3", "--window", "4", "--capacity", "1"},
          "longer than --horizon");
  refused({"forecast", "--file", short_one, "--horizon", "3", "--window", "2"}, "--capacity");
  refused({"forecast", "--file", short_one, "--horizon", "3", "--regressors", short_one}, "short.csv:2");
  refused({"backtest", "--file", short_one, "--horizon", "3"}, "no series is long enough");
}

}  // namespace
}  // namespace umbra::cli::test
