#include "controller/planner/fence_agent.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>

namespace umbra::controller {
namespace {

constexpr std::size_t kMostShown = 400;

/// One line that is fit for a log: what a program wrote is not to be trusted.
std::string shown(std::string text) {
  for (auto& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.size() > kMostShown) text = text.substr(0, kMostShown) + " …";
  return text;
}

/// `word` stands in the text by itself: "off" is not in "official", nor in "switched-off-soon".
bool says(std::string_view text, std::string_view word) {
  const auto apart = [&](std::size_t at) {
    const auto c = static_cast<unsigned char>(text[at]);
    return std::isalnum(c) == 0 && c != '-' && c != '_';
  };
  for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || apart(at - 1)) && (end == text.size() || apart(end))) return true;
  }
  return false;
}

/// Its output, if it ended with status 0.
Result<std::string> run(const FenceAgentSettings& agent, const std::vector<std::string>& words,
                        const std::atomic<bool>& stop) {
  const Command command{.words = words, .variables = {{"UMBRA_HOST", agent.host}}, .timeout = agent.timeout};
  const auto ran = run_command(command, stop);
  if (!ran)
    return fail({Errc::kUnavailable, fmt::format("the fence agent of {}: {}", agent.host, ran.error().message),
                 ran.error().remedy});
  if (ran->status != 0)
    return fail({Errc::kUnavailable,
                 fmt::format("the fence agent of {}: {} ended with status {}: {}", agent.host, words.front(),
                             ran->status, shown(ran->output)),
                 ""});
  return shown(ran->output);
}

Task<std::string> prove(FenceAgentSettings agent, const std::atomic<bool>* stop) {
  UMBRA_CO_TRY(const auto said, run(agent, agent.command, *stop));
  auto proof = fmt::format("{} ended with status 0{}{}", agent.command.front(), said.empty() ? "" : ": ", said);
  if (agent.status.empty()) co_return proof;
  UMBRA_CO_TRY(const auto status, run(agent, agent.status, *stop));
  if (!says(status, agent.off))
    co_return fail({Errc::kUnavailable,
                    fmt::format("the fence agent of {}: {} does not say '{}' but '{}'", agent.host,
                                agent.status.front(), agent.off, status),
                    ""});
  co_return fmt::format("{}; {} says '{}'", proof, agent.status.front(), status);
}

}  // namespace

const FenceAgentSettings* FenceSettings::agent(const std::string& host) const {
  const auto found = std::ranges::find(agents, host, &FenceAgentSettings::host);
  return found == agents.end() ? nullptr : &*found;
}

FenceAgents::~FenceAgents() {
  stop_ = true;
  thread_.join();
}

Task<std::string> FenceAgents::fence(FenceAgentSettings agent) {
  co_return co_await asio::co_spawn(thread_, prove(std::move(agent), &stop_), asio::use_awaitable);
}

}  // namespace umbra::controller
