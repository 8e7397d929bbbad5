/// Progress of long work, on standard error so that standard output stays clean.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/units.hpp"

namespace umbra::cli {

/// Where some work is. Zero means "not known" and is left out.
struct ProgressState {
  std::string subject;  ///< the VM, or the file
  std::string phase;
  Bytes done;
  Bytes total;
  BytesPerSecond rate;
  BytesPerSecond dirty;
  double eta_ms = 0;
};

/// "web1  precopy  [=====>    ] 63 %  159 MiB/256 MiB  48.2 MiB/s  dirty 12.0 MiB/s  ETA 2 s", at most `width`
/// columns wide: the bar shrinks first, then what stands last goes.
std::string render_progress(const ProgressState& state, std::size_t width);

class Progress {
 public:
  enum class Mode : std::uint8_t {
    kSilent,
    kPhases,  ///< a line whenever the phase changes
    kLive,    ///< one line, redrawn in place
  };
  Progress(Mode mode, std::FILE* out) : mode_(mode), out_(out) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Takes the live line away.
  ~Progress() { clear(); }

  void show(const ProgressState& state);
  void clear();

 private:
  Mode mode_;
  std::FILE* out_;
  bool drawn_ = false;
  std::string last_subject_;
  std::string last_phase_;
};

}  // namespace umbra::cli
