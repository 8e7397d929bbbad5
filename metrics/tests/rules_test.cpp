// The alert rules, by Prometheus' own tool; and that what they ask for is documented, and has a runbook.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace umbra::metrics {
namespace {

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::set<std::string> all(const std::string& text, const std::string& pattern) {
  const std::regex wanted(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), wanted), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

TEST(AlertRules, DoWhatTheirTestsSay) {
  FILE* pipe = popen("promtool test rules " UMBRA_METRICS "/rules/umbra.rules_test.yml 2>&1", "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) said += static_cast<char>(c);
  const int status = pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << said;
}

TEST(AlertRules, AskOnlyForWhatIsServedAndDocumented) {
  const auto rules = text_of(UMBRA_METRICS "/rules/umbra.rules.yml");
  const auto documented = text_of(UMBRA_METRICS "/../docs/metrics.md");
  for (const auto& name : all(rules, "(umbra_[a-z_]+?)(?:_bucket)?\\b(?=[\\[{ )]|$)"))
    EXPECT_NE(documented.find("`" + name), std::string::npos) << name;
}

TEST(AlertRules, HaveARunbookEach) {
  const auto runbooks = text_of(UMBRA_METRICS "/../docs/operations.md");
  const auto alerts = all(text_of(UMBRA_METRICS "/rules/umbra.rules.yml"), "alert: (\\w+)");
  EXPECT_GE(alerts.size(), 10u);
  for (const auto& alert : alerts) EXPECT_NE(runbooks.find("### " + alert), std::string::npos) << alert;
}

/// Sources and table name the same metrics.
TEST(Metrics, AreAllInTheTable) {
  const auto documented = all(text_of(UMBRA_METRICS "/../docs/metrics.md"), "`(umbra_[a-z_]+)`");
  std::set<std::string> served;
  for (const auto* file : {"/cutovers.cpp", "/../agentd/metrics.cpp", "/../controller/metrics.cpp"})
    served.merge(all(text_of(std::string(UMBRA_METRICS) + file), "\"(umbra_[a-z_]+)\""));
  EXPECT_EQ(documented, served);
}

}  // namespace
}  // namespace umbra::metrics
