/// What the fuzzers do with an input, and what has to hold whatever the input; the corpus test does the same.
#pragma once

#include <string_view>

namespace umbra::forecast {

/// Each reads `text` as a file and aborts if a promise of the reader does not hold of what it gives.
void fuzz_series(std::string_view text);
void fuzz_calendar(std::string_view text);
void fuzz_regressors(std::string_view text);

}  // namespace umbra::forecast
