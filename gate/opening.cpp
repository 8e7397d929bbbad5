#include "gate/opening.hpp"

#include <algorithm>

#include "rpc/warrant.hpp"

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kProtocol = 1;
constexpr auto kConnect = 3s;
constexpr auto kHandshake = 3s;
constexpr auto kWord = 3s;
constexpr unsigned kMostChannels = 256;  // QEMU's own limit of multifd is 255

UnixMillis now_ms() {
  return SystemClock().unix_ms();
}

Result<void> check(const v1::GateOpening& opening, const Line& line, const v1::GateTask& task, const rpc::Tls& tls) {
  if (opening.protocol() != kProtocol)
    return fail({Errc::kUnsupported, fmt::format("it speaks protocol {}, this gate {}", opening.protocol(), kProtocol),
                 "install the same version of Umbra on both hosts"});
  if (line.peer().role != v1::ROLE_AGENT || line.peer().name != task.source())
    return fail(Errc::kDenied, "{} of role {} is not {}, the source", line.peer().name,
                rpc::role_name(line.peer().role), task.source());
  UMBRA_TRY(const auto warrant, rpc::warrant::open(tls, opening.warrant(), now_ms()));
  const auto skew = std::chrono::duration_cast<Milliseconds>(rpc::warrant::kClockSkew).count();
  const bool allows =
      std::ranges::find(warrant.acts(), static_cast<int>(v1::WARRANT_ACT_STAGE)) != warrant.acts().end();
  if (warrant.kind() != v1::WARRANT_KIND_SHADOW || !allows || warrant.vm_uuid() != task.vm_uuid() ||
      warrant.source() != line.peer().name || warrant.standby() != tls.self().name)
    return fail(Errc::kDenied, "its warrant is not for this shadow");
  if (now_ms() > warrant.not_after_unix_ms() + skew) return fail(Errc::kDenied, "its warrant has expired");
  if (opening.vm_uuid() != task.vm_uuid() || opening.id().journal() != task.id().journal() ||
      opening.id().number() != task.id().number())
    return fail(Errc::kDenied, "it is meant for another shadow");
  if (opening.channel() >= kMostChannels) return fail(Errc::kInvalid, "there is no channel {}", opening.channel());
  return {};
}

}  // namespace

Result<Line> call_standby(const v1::GateTask& task, const rpc::Tls& tls, unsigned channel) {
  UMBRA_TRY(auto socket, connect_tcp(task.endpoint(), kConnect));
  UMBRA_TRY(auto line, Line::open(std::move(socket), Line::Role::kConnects, tls, kHandshake));
  if (line.peer().role != v1::ROLE_AGENT || line.peer().name != task.standby())
    return fail(Errc::kDenied, "at {} there is {} of role {}, not {}", task.endpoint(), line.peer().name,
                rpc::role_name(line.peer().role), task.standby());
  v1::GateOpening opening;
  opening.set_protocol(kProtocol);
  opening.set_vm_uuid(task.vm_uuid());
  *opening.mutable_id() = task.id();
  *opening.mutable_warrant() = task.warrant();
  opening.set_channel(channel);
  opening.set_plain(task.plain());
  UMBRA_CHECK(line.send(opening, kWord));
  v1::GateOpened opened;
  UMBRA_CHECK(line.receive(opened, kWord));
  if (!opened.refusal().empty()) return fail(Errc::kDenied, "{} refuses: {}", task.standby(), opened.refusal());
  line.begin_stream(task.plain());
  return line;
}

Result<Answered> answer_source(Descriptor socket, const v1::GateTask& task, const rpc::Tls& tls,
                               const std::function<bool(unsigned channel)>& claim) {
  UMBRA_TRY(auto line, Line::open(std::move(socket), Line::Role::kAccepts, tls, kHandshake));
  v1::GateOpening opening;
  UMBRA_CHECK(line.receive(opening, kWord));
  const auto admit = [&]() -> Result<Descriptor> {
    UMBRA_CHECK(check(opening, line, task, tls));
    if (!claim(opening.channel())) return fail(Errc::kConflict, "its channel {} has begun already", opening.channel());
    return connect_unix(task.socket());
  };
  auto qemu = admit();
  v1::GateOpened opened;
  if (!qemu) opened.set_refusal(qemu.error().text());
  const auto told = line.send(opened, kWord);
  if (!qemu) return fail(qemu.error());
  UMBRA_CHECK(told);
  line.begin_stream(opening.plain());
  return Answered{std::move(line), std::move(*qemu), opening.channel()};
}

}  // namespace umbra::gate
