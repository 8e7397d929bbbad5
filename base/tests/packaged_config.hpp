/// The packaged defaults of a daemon, as its settings read them.
#pragma once

#include <gtest/gtest.h>

#include "base/config.hpp"
#include "base/temporary_directory.hpp"
#include "base/tests/config_text.hpp"

namespace umbra::test {

/// What the daemon's --print-config writes, without the origins.
template <class Settings>
std::string printed_keys(Result<Config> config) {
  if (!config) return config.error().text();
  const auto read = Settings::from(*config);
  return read ? without_origins(config->print()) : read.error().text();
}

template <class Settings>
class PackagedConfig : public testing::Test {
 protected:
  /// @param name of the file
  explicit PackagedConfig(std::string_view name)
      : packaged(std::filesystem::path(UMBRA_PACKAGED_CONFIG) / name), file_(directory_.path() / name) {}

  /// The packaged defaults under `text`, as the file in /etc.
  std::string keys_over_packaged(const std::string& text) {
    std::ofstream(file_) << text;
    return printed_keys<Settings>(Config::load_layers(file_, packaged));
  }

  const std::filesystem::path packaged;

 private:
  TemporaryDirectory directory_ = TemporaryDirectory::make("umbra-config-").value();
  const std::filesystem::path file_;
};

}  // namespace umbra::test
