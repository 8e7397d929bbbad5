/// Lists of the fleet: narrowed, sorted, shown as a table or as JSON, once or again and again.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <algorithm>
#include <optional>

#include "cli/conversation.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"

namespace umbra::cli {

/// What the user asked of a list.
struct ListWish {
  std::map<std::string, std::string> only;  ///< filter → value
  std::size_t sort = 0;                     ///< column
  bool reverse = false;
  std::optional<std::chrono::milliseconds> watch;
};

/// What there is to know of one kind of list. `Item` is one of its messages, of which each makes one row.
template <class Item>
struct Listing {
  struct Filter {
    const char* name;  ///< "host" for --host
    const char* kind;  ///< what its value is, as in "HOST"; alternatives as "up|down"
    const char* what;
    std::function<bool(const Item&, const std::string&)> passes;
  };
  std::vector<Table::Column> columns;
  std::function<std::vector<Cell>(const Item&)> row;
  std::vector<Filter> filters;
  const char* none;  ///< what is said of an empty list
};

/// --sort, --reverse and --watch.
void add_list_options(CLI::App& verb, const std::vector<Table::Column>& columns, std::shared_ptr<ListWish> wish);
/// --NAME, which takes one of the alternatives if `kind` has several.
void add_filter(CLI::App& verb, const std::string& name, const char* kind, const char* what,
                std::shared_ptr<ListWish> wish);
/// Shows a list; when it is watched, in the place of the one before.
void show_list(const Context& context, const ListWish& wish, const std::string& text);
/// Until the next look at a watched list.
asio::awaitable<void> wait_for(std::chrono::milliseconds time);

/// Leaves in `items` what passes the filters, in the order asked for, and makes the table of it.
template <class Item>
Table arrange(google::protobuf::RepeatedPtrField<Item>& items, const Listing<Item>& listing, const ListWish& wish) {
  struct Line {
    std::vector<Cell> cells;
    Item item;
  };
  std::vector<Line> lines;
  for (auto& item : items) {
    const bool passes = std::ranges::all_of(listing.filters, [&](const auto& filter) {
      const auto given = wish.only.find(filter.name);
      return given == wish.only.end() || filter.passes(item, given->second);
    });
    if (passes) lines.push_back({listing.row(item), std::move(item)});
  }
  const auto by = [](std::size_t column, bool reverse) {
    return [=](const Line& one, const Line& other) {
      return sorts_before(one.cells[column], other.cells[column], reverse);
    };
  };
  std::ranges::stable_sort(lines, by(0, false));  // the first column is the name
  if (wish.sort != 0 || wish.reverse) std::ranges::stable_sort(lines, by(wish.sort, wish.reverse));
  items.Clear();
  Table table(listing.columns);
  for (auto& line : lines) {
    table.add(std::move(line.cells));
    *items.Add() = std::move(line.item);
  }
  return table;
}

/// What gives the items of a reply.
template <class Reply, class Item>
using Items = google::protobuf::RepeatedPtrField<Item>* (Reply::*)();

template <class Request, class Reply, class Item>
Task<ExitCode> show_lists(v1::FleetClient fleet, Question<Request, Reply> question, Request request,
                          Items<Reply, Item> items, Listing<Item> listing, ListWish wish, Context context) {
  while (true) {
    auto again = request;
    UMBRA_CO_TRY(auto reply, co_await (fleet.*question)(std::move(again), context.settings.timeout));
    const auto table = arrange(*(reply.*items)(), listing, wish);
    if (context.json())
      show_list(context, wish, serialize(to_json(reply)) + "\n");
    else
      show_list(context, wish,
                table.empty() ? fmt::format("{}\n", listing.none) : table.render(context.colour, context.room));
    if (!wish.watch) co_return ExitCode::kOk;
    co_await wait_for(*wish.watch);
  }
}

/// Makes a list of a verb: its options, and what it does. What the verb takes beside may fill `request`.
template <class Request, class Reply, class Item>
void make_list(CLI::App& verb, Action& action, Question<Request, Reply> question, std::shared_ptr<Request> request,
               Items<Reply, Item> items, Listing<Item> listing) {
  auto wish = std::make_shared<ListWish>();
  for (const auto& filter : listing.filters) add_filter(verb, filter.name, filter.kind, filter.what, wish);
  add_list_options(verb, listing.columns, wish);
  when_given(verb, action, [=](const Context& context) {
    return talk(context, [&](v1::FleetClient fleet) {
      return show_lists<Request, Reply, Item>(fleet, question, *request, items, listing, *wish, context);
    });
  });
}

}  // namespace umbra::cli
