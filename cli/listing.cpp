#include "cli/listing.hpp"
#include <CLI/App.hpp>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/config.hpp"
#include "cli/output/words.hpp"

namespace umbra::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kShortestWatch = 100ms;  // more often is a load for the controller, and nothing that can be read
constexpr const char* kUsualWatch = "2s";

/// "SHADOW ON" as an option's value: "shadow-on".
std::string option_name(const std::string& heading) {
  std::string name;
  for (const char letter : heading)
    name += letter == ' ' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return name;
}

/// "2", "0.5", "500ms", "1min".
std::chrono::milliseconds parse_interval(const std::string& text) {
  const bool bare = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  const auto interval = parse_duration(bare ? text + "s" : text);
  if (!interval || *interval < kShortestWatch)
    throw CLI::ValidationError("--watch", fmt::format("'{}' are no seconds, nor a duration like 500ms", text));
  return *interval;
}

}  // namespace

void add_list_options(CLI::App& verb, const std::vector<Table::Column>& columns, std::shared_ptr<ListWish> wish) {
  std::vector<std::string> names;
  for (const auto& column : columns) names.push_back(option_name(column.heading));
  const auto set = [wish, names](const std::string& name) {
    const auto found = std::ranges::find(names, option_name(name));
    if (found == names.end())
      throw CLI::ValidationError("--sort", fmt::format("no column '{}'; there are {}", name, fmt::join(names, ", ")));
    wish->sort = static_cast<std::size_t>(found - names.begin());
  };
  add_text(verb, "--sort", fmt::format("{}", fmt::join(names, "|")).c_str(), "By this column, instead of the name",
           set);
  verb.add_flag("--reverse", wish->reverse, "The largest first");
  add_text(verb, "--watch", "SECONDS", "Look again and again, each 2 seconds unless told, until Ctrl-C",
           [wish](const std::string& text) { wish->watch = parse_interval(text.empty() ? kUsualWatch : text); })
      ->expected(0, 1);
}

void add_filter(CLI::App& verb, const std::string& name, const char* kind, const char* what,
                std::shared_ptr<ListWish> wish) {
  const auto option = "--" + name;
  const auto set = [wish, name](const std::string& value) { wish->only[name] = value; };
  const bool has_choice = std::string_view(kind).find('|') != std::string_view::npos;
  has_choice ? add_choice(verb, option.c_str(), kind, what, set) : add_text(verb, option.c_str(), kind, what, set);
}

void show_list(const Context& context, const ListWish& wish, const std::string& text) {
  if (wish.watch && !context.json()) {
    if (context.room > 0) print_raw("\x1b[H\x1b[J");  // from the top
    print(styled(local_time(SystemClock().unix_ms()), Style::kFaint, context.colour) + "\n");
  }
  print(text);
  if (wish.watch) std::fflush(stdout);
}

asio::awaitable<void> wait_for(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  boost::system::error_code cancelled;
  auto waited = asio::redirect_error(asio::use_awaitable, cancelled);
  co_await timer.async_wait(waited);
}

}  // namespace umbra::cli
