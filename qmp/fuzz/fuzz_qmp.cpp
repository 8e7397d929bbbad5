// What a monitor says, whoever it is: read, or refused with a reason.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "qmp/codec.hpp"

namespace {

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "promise broken: %s\n", what);
  std::abort();
}

void check(const umbra::Error& error) {
  must(error.code == umbra::Errc::kCorrupt && !error.remedy.empty(), "what is not QMP is refused with a remedy");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace umbra::qmp;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto message = parse_message(text);
  if (!message) {
    check(message.error());
  } else if (const auto* event = std::get_if<Event>(&*message)) {
    must(event->at.count() >= 0, "no event is older than 1970");
  }
  if (const auto reply = parse_reply(text); !reply) check(reply.error());
  static_cast<void>(to_string(parse_run_state(text)));
  static_cast<void>(to_string(parse_migration_status(text)));
  return 0;
}
