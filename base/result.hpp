/// Results and errors: expected failures travel in `Result`, exceptions are bugs.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace umbra {

/// What the caller can do about a failure. The numbers go over the wire and into the store: append only.
enum class Errc : std::uint8_t {
  kInvalid = 1,       ///< the input is wrong; the same call will fail again
  kNotFound = 2,      ///< what was named does not exist
  kTimeout = 3,       ///< the deadline passed; the outcome is unknown, ask before assuming
  kUnavailable = 4,   ///< cannot be reached now; try again
  kConflict = 5,      ///< the state does not allow it, or an older epoch
  kCorrupt = 6,       ///< stored or received data is damaged
  kCancelled = 7,     ///< given up by us
  kDenied = 8,        ///< the certificate's role may not do this
  kExhausted = 9,     ///< no room: memory, disk, ports
  kUnsupported = 10,  ///< this host, QEMU or VM cannot do it
  kInternal = 11,     ///< a bug
};

std::string_view to_string(Errc code);

/// A failure: what it means for the caller, what was being done and why it failed, and what to do about it.
struct Error {
  Errc code = Errc::kInternal;
  std::string message;  ///< "while doing this: cause"
  std::string remedy;   ///< what the operator can do; empty when nothing helps

  /// One line for people: message, then the remedy in brackets.
  std::string text() const;
};

template <class T>
using Result = tl::expected<T, Error>;

/// Builds the failing value of any `Result`: `return fail(Errc::kNotFound, "no VM {}", name);`
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...), {}});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected(std::move(error));
}

/// The same error with its remedy set.
[[nodiscard]] Error with_remedy(Error error, std::string remedy);
/// The same error with "what: " put before its message.
[[nodiscard]] Error with_context(Error error, std::string_view what);

}  // namespace umbra

template <>
struct fmt::formatter<umbra::Error> : fmt::formatter<std::string> {
  auto format(const umbra::Error& error, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(error.text(), context);
  }
};

#define UMBRA_CONCAT_(a, b) a##b
#define UMBRA_CONCAT(a, b) UMBRA_CONCAT_(a, b)
#define UMBRA_TRY_(name, declaration, expression, give_up)      \
  auto name = (expression);                                     \
  if (!name) give_up ::tl::unexpected(std::move(name).error()); \
  declaration = std::move(*name)
#define UMBRA_CHECK_(name, expression, give_up) \
  if (auto name = (expression); !name) give_up ::tl::unexpected(std::move(name).error())

/// `UMBRA_TRY(auto x, f());` declares x from f()'s value, or returns f()'s error from this function.
#define UMBRA_TRY(declaration, expression) \
  UMBRA_TRY_(UMBRA_CONCAT(umbra_result_, __LINE__), declaration, expression, return )
/// `UMBRA_CHECK(f());` returns f()'s error, if it has one.
#define UMBRA_CHECK(expression) UMBRA_CHECK_(UMBRA_CONCAT(umbra_result_, __LINE__), expression, return )
/// The same two inside a coroutine: `UMBRA_CO_TRY(auto x, co_await f());`
#define UMBRA_CO_TRY(declaration, expression) \
  UMBRA_TRY_(UMBRA_CONCAT(umbra_result_, __LINE__), declaration, expression, co_return )
#define UMBRA_CO_CHECK(expression) UMBRA_CHECK_(UMBRA_CONCAT(umbra_result_, __LINE__), expression, co_return )
