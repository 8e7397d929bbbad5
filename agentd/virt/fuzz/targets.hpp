/// What the fuzzer does with an input, and what has to hold whatever the input; the corpus test does the same.
#pragma once

#include <string_view>

namespace umbra::virt {

/// Reads `text` as a domain of another host and aborts if a promise does not hold of what is made of it.
void fuzz_domain(std::string_view text);

}  // namespace umbra::virt
