#include <cstddef>
#include <cstdint>

#include "forecast/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  umbra::forecast::fuzz_state({reinterpret_cast<const char*>(data), size});
  return 0;
}
