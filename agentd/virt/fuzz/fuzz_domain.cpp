#include <cstddef>
#include <cstdint>

#include "agentd/virt/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  umbra::virt::fuzz_domain({reinterpret_cast<const char*>(data), size});
  return 0;
}
