#include "controller/store/store.hpp"

#include "controller/store/schema.hpp"

namespace umbra::controller {

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return fail({Errc::kUnavailable, fmt::format("cannot create {}: {}", directory.string(), error.message()),
                 "let the user the service runs as write there, or set controller.state_dir"});
  UMBRA_TRY(auto state, sqlite::Database::open(directory / "state.db", sqlite::Durability::kFull));
  UMBRA_CHECK(state.check());
  UMBRA_CHECK(state.migrate(kStateSchema));
  UMBRA_TRY(auto telemetry, sqlite::Database::open(directory / "telemetry.db", sqlite::Durability::kNormal));
  UMBRA_CHECK(telemetry.migrate(kTelemetrySchema));
  return std::unique_ptr<Store>(new Store(std::move(state), std::move(telemetry)));
}

}  // namespace umbra::controller
