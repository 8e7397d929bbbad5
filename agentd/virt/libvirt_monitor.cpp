#include "agentd/virt/libvirt_monitor.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <spdlog/spdlog.h>

#include <boost/json/parse.hpp>

#include "agentd/virt/libvirt_state.hpp"
#include "qmp/codec.hpp"

namespace umbra::virt {
namespace json = boost::json;

namespace {

/// On a thread of the pool: JSON is written and read here too, off the strand.
Result<json::value> pass_through(virDomainPtr domain, const std::string& command, const json::object& arguments) {
  const auto text = qmp::encode_command(command, arguments, std::nullopt);
  char* raw = nullptr;
  const int failed = virDomainQemuMonitorCommand(domain, text.c_str(), &raw, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
  const CText answer(raw);
  if (failed != 0) {
    auto error = last_error("QEMU's monitor");
    // Not QEMU's own refusal, which comes as an answer: libvirt could not ask it.
    if (error.code != Errc::kDenied && error.code != Errc::kInvalid) error.code = Errc::kUnavailable;
    return fail(std::move(error));
  }
  UMBRA_TRY(auto reply, qmp::parse_reply(answer.get()));
  return std::move(reply.result);
}

}  // namespace

Task<json::value> LibvirtMonitor::execute(std::string command, json::object arguments, Deadline deadline) {
  const auto state = state_.lock();
  if (!state) co_return fail(Errc::kCancelled, "the hypervisor was closed");
  const std::function<Result<json::value>(virDomainPtr)> call =
      [command = std::move(command), arguments = std::move(arguments)](virDomainPtr domain) {
        return pass_through(domain, command, arguments);
      };
  auto answer = co_await LibvirtHypervisor::State::on_domain(state, uuid_, call, deadline);
  if (!answer && answer.error().code == Errc::kNotFound) answer.error().code = Errc::kUnavailable;
  co_return answer;
}

void LibvirtMonitor::deliver(const char* name, std::chrono::microseconds at, const char* data) {
  if (!handler_) return;
  json::error_code error;
  const json::value parsed = *data != '\0' ? json::parse(data, error) : json::value{};
  auto event = qmp::make_event(name, at, error ? nullptr : parsed.if_object());
  if (!event) return spdlog::warn("{}: passing over an event: {}", uuid_, event.error().text());
  const auto handler = handler_;  // which may replace itself
  handler(*event);
}

}  // namespace umbra::virt
