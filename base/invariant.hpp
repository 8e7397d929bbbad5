/// Assertions that stay in every build, where a wrong state would cost somebody a guest.
#pragma once

#include <stdexcept>
#include <string>

namespace umbra {

/// A state that cannot be, was. Whoever supervises the work on that one thing stops it and tells; the daemon goes on.
class InvariantViolation final : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void violated(const char* condition, const char* file, int line, const std::string& what) {
  throw InvariantViolation(what + " (" + condition + ", " + file + ":" + std::to_string(line) + ")");
}

}  // namespace umbra

/// `UMBRA_INVARIANT(epoch > last, "an epoch was entered twice");` throws InvariantViolation when the condition is
/// false.
#define UMBRA_INVARIANT(condition, what) \
  (static_cast<bool>(condition) ? void(0) : ::umbra::violated(#condition, __FILE__, __LINE__, (what)))
