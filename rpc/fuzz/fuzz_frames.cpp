// What comes over a connection: frames, the requests in them, and the warrants in those.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "rpc/connection.hpp"
#include "rpc/fakes/test_fleet.hpp"
#include "rpc/warrant.hpp"
#include "umbra/v1/agent.pb.h"
#include "umbra/v1/controller.pb.h"

namespace umbra::rpc {
namespace {

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "promise broken: %s\n", what);
  std::abort();
}

const TestFleet& fleet() {
  static const TestFleet made;
  return made;
}
const Tls& credentials() {
  static const Tls tls = fleet().node(v1::ROLE_AGENT, "host1");
  return tls;
}
const v1::Warrant& genuine() {
  static const v1::Warrant warrant = [] {
    v1::WarrantStatement statement;
    statement.set_vm_uuid("11111111-2222-3333-4444-555555555501");
    statement.set_epoch(7);
    return warrant::sign(fleet().node(v1::ROLE_CONTROLLER, "controller"), statement).value();
  }();
  return warrant;
}

/// Nobody has this fleet's controller's key.
void check(const v1::Warrant& warrant) {
  const auto opened = warrant::open(credentials(), warrant, std::nullopt);
  must(!opened, "no warrant comes from nowhere");
  must(opened.error().code == Errc::kDenied && !opened.error().message.empty(), "a refusal says why");
}

/// A genuine one in which some bytes of one part are others.
void check_altered(std::string_view bytes) {
  if (bytes.size() < 4) return;
  auto altered = genuine();
  std::string* const parts[]{altered.mutable_statement(), altered.mutable_signature(), altered.mutable_certificate()};
  auto& part = *parts[static_cast<unsigned char>(bytes[0]) % 3];
  std::size_t at = static_cast<unsigned char>(bytes[1]) * 256U + static_cast<unsigned char>(bytes[2]);
  for (const char flip : bytes.substr(3)) {
    auto& byte = part[at++ % part.size()];
    byte = static_cast<char>(byte ^ flip);
  }
  if (altered.SerializeAsString() == genuine().SerializeAsString())
    must(warrant::open(credentials(), altered, std::nullopt).has_value(), "a genuine warrant is one");
  else
    check(altered);
}

template <class Request>
void read(const std::string& body) {
  Request request;
  if (!request.ParseFromString(body)) return;
  if constexpr (requires { request.warrant(); }) check(request.warrant());
}

void read_body(const std::string& body) {
  read<v1::StageRequest>(body);
  read<v1::AcceptRequest>(body);
  read<v1::PointRequest>(body);
  read<v1::CutoverRequest>(body);
  read<v1::KeepShadowRequest>(body);
  read<v1::ReportRequest>(body);
  read<v1::RegisterRequest>(body);
  v1::Warrant warrant;
  if (warrant.ParseFromString(body)) check(warrant);
}

/// As Connection reads them, one after another.
void read_frames(std::string_view bytes) {
  constexpr std::size_t kMost = 1 << 16;
  while (bytes.size() >= kLengthBytes) {
    const auto length = read_length(bytes.data());
    bytes.remove_prefix(kLengthBytes);
    if (length > kMost || length > bytes.size()) return;
    wire::Frame frame;
    if (!frame.ParseFromArray(bytes.data(), static_cast<int>(length))) return;
    bytes.remove_prefix(length);
    if (frame.has_request()) read_body(frame.request().body());
    if (frame.has_reply()) static_cast<void>(error_of(frame.reply().status()).text());
    std::string again;
    const auto written = append_frame(again, frame, kMost);
    must(!written || read_length(again.data()) + kLengthBytes == again.size(), "a frame's length is its own");
  }
}

}  // namespace
}  // namespace umbra::rpc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool quiet = [] {
    google::protobuf::SetLogHandler(nullptr);
    return true;
  }();
  static_cast<void>(quiet);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  umbra::rpc::read_frames(bytes);
  umbra::rpc::read_body(std::string(bytes));
  umbra::rpc::check_altered(bytes);
  return 0;
}
