// telemetry import: history from a CSV file.
#include <CLI/App.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "cli/conversation.hpp"
#include "cli/csv.hpp"
#include "cli/output/json.hpp"
#include "cli/output/table.hpp"

namespace umbra::cli {
namespace {

constexpr int kBatch = 5'000;  // ImportTelemetry's limit

/// What the first pass learned of a file: it is well-formed, how much is in it, and where each VM appears first.
struct Survey {
  std::uint64_t rows = 0;
  std::map<std::string, std::uint64_t> first_line_of_vm;
};

struct Source {
  std::string name;
  std::uintmax_t size = 0;
  std::shared_ptr<std::ifstream> in;  // shared: a coroutine's parameters are copied
};

Result<Source> open_source(const std::string& name) {
  std::error_code error;
  const auto status = std::filesystem::status(name, error);
  if (!std::filesystem::exists(status))
    return fail({Errc::kNotFound, fmt::format("cannot read {}: {}", name, std::strerror(ENOENT)),
                 "give the path of a CSV file"});
  if (!std::filesystem::is_regular_file(status))
    return fail({Errc::kInvalid, fmt::format("cannot read {}: it is not a regular file", name),
                 "save the data to a file first: it is read twice, to import all of it or nothing"});
  auto in = std::make_shared<std::ifstream>(name, std::ios::binary);
  if (!*in)
    return fail(
        {Errc::kDenied, fmt::format("cannot read {}: {}", name, std::strerror(errno)), "make the file readable"});
  return Source{name, std::filesystem::file_size(name, error), std::move(in)};
}

Result<Survey> survey(const Source& source) {
  TelemetryReader reader(*source.in, source.name);
  Survey found;
  while (true) {
    UMBRA_TRY(auto row, reader.next());
    if (!row) break;
    ++found.rows;
    found.first_line_of_vm.try_emplace(std::move(row->vm), reader.line());
  }
  if (found.rows == 0)
    return fail(
        {Errc::kInvalid, fmt::format("{}: no data in it", source.name), "a line holds vm,metric,timestamp,value"});
  return found;
}

/// @error kNotFound a VM of the file that the fleet does not have
Result<void> check_vms(const Source& source, const Survey& found, const v1::ListVmsReply& reply) {
  std::set<std::string_view> known;
  for (const auto& view : reply.vms()) {
    known.insert(view.vm().name());
    known.insert(view.vm().uuid());
  }
  const std::pair<const std::string, std::uint64_t>* first = nullptr;
  for (const auto& entry : found.first_line_of_vm)
    if (!known.contains(entry.first) && (first == nullptr || entry.second < first->second)) first = &entry;
  if (first == nullptr) return {};
  return fail({Errc::kNotFound,
               fmt::format("{}:{}: column 1 (vm): the fleet has no VM '{}'", source.name, first->second, first->first),
               "name the VMs as `umbractl vms` does"});
}

/// The next rows, as many as one request takes; none at the end.
Result<v1::ImportTelemetryRequest> next_batch(TelemetryReader& reader) {
  v1::ImportTelemetryRequest batch;
  while (batch.samples_size() < kBatch) {
    UMBRA_TRY(auto row, reader.next());
    if (!row) break;
    auto& sample = *batch.add_samples();
    sample.set_vm(std::move(row->vm));
    sample.set_metric(std::move(row->metric));
    sample.set_at_unix_ms(row->at);
    sample.set_value(row->value);
  }
  return batch;
}

struct Totals {
  std::uint64_t rows = 0;
  std::uint64_t stored = 0;
  std::uint64_t replaced = 0;
};

/// The second pass. `totals` counts what the controller has confirmed, also when this fails.
Task<void> send(v1::FleetClient fleet, Source source, Context context, std::shared_ptr<Totals> totals) {
  source.in->clear();
  source.in->seekg(0);
  TelemetryReader reader(*source.in, source.name);
  Progress progress(context.progress, stderr);
  while (true) {
    UMBRA_CO_TRY(const auto batch, next_batch(reader));
    if (batch.samples().empty()) co_return Result<void>{};
    UMBRA_CO_TRY(const auto reply, co_await fleet.import_telemetry(batch, context.settings.timeout));
    totals->rows += static_cast<std::uint64_t>(batch.samples_size());
    totals->stored += reply.stored();
    totals->replaced += reply.replaced();
    const auto at = source.in->good() ? static_cast<std::uint64_t>(source.in->tellg()) : source.size;
    progress.show({source.name, "sending", Bytes{at}, Bytes{source.size}, {}, {}, 0});
  }
}

Task<ExitCode> import_all(v1::FleetClient fleet, Source source, Survey found, Context context) {
  const v1::ListVmsRequest everyone;
  UMBRA_CO_TRY(const auto vms, co_await fleet.list_vms(everyone, context.settings.timeout));
  UMBRA_CO_CHECK(check_vms(source, found, vms));
  auto totals = std::make_shared<Totals>();
  auto sent = co_await send(fleet, source, context, totals);
  if (!sent) {
    auto error = with_context(std::move(sent).error(), fmt::format("after {} of {} rows", totals->rows, found.rows));
    if (error.remedy.empty()) error.remedy = "import the file again: rows that are there already are replaced";
    co_return fail(std::move(error));
  }
  if (context.json())
    print(serialize(boost::json::object{{"file", source.name},
                                        {"rows", totals->rows},
                                        {"stored", totals->stored},
                                        {"replaced", totals->replaced}}) +
          "\n");
  else
    print(fmt::format("{}: {} rows of {} VMs imported, {} new and {} replaced\n", printable(source.name), totals->rows,
                      found.first_line_of_vm.size(), totals->stored, totals->replaced));
  co_return ExitCode::kOk;
}

Outcome import(const Context& context, const std::string& file) {
  auto source = open_source(file);
  if (!source) return misused(std::move(source).error());
  auto found = survey(*source);
  if (!found) return misused(std::move(found).error());
  return talk(context, [&](v1::FleetClient fleet) { return import_all(fleet, *source, *found, context); });
}

}  // namespace

void add_telemetry_verbs(CLI::App& app, Action& action) {
  auto& telemetry = add_verb(app, "telemetry", "Bring in what VMs did before", "umbractl telemetry import history.csv");
  telemetry.require_subcommand(1);
  auto file = std::make_shared<std::string>();
  auto& verb =
      add_verb(telemetry, "import",
               fmt::format("Import a CSV file of vm,metric,timestamp,value: all of it, or nothing if a row is wrong.\n"
                           "Metrics are {}: cores, bytes, then bytes per second.\n"
                           "Times are ISO 8601 with a zone, or seconds since the Unix epoch.",
                           fmt::join(kMetrics, ", "))
                   .c_str(),
               "umbractl telemetry import history.csv\n\n"
               "  vm,metric,timestamp,value\n  web1,cpu,2026-05-01T12:00:00Z,0.75\n  web1,memory,1777636800,268435456");
  verb.add_option("FILE", *file, "The file")->type_name("")->required();
  verb.callback([&action, file] { action = [file](const Context& context) { return import(context, *file); }; });
}

}  // namespace umbra::cli
