#include "agentd/virt/libvirt_monitor.hpp"

#include <libvirt/libvirt-qemu.h>
#include <spdlog/spdlog.h>

#include <boost/json/parse.hpp>

#include "agentd/virt/libvirt_state.hpp"
#include "qmp/codec.hpp"

namespace umbra::virt {
namespace json = boost::json;

/// The connection for one domain's commands. Any thread of the pool.
class LibvirtMonitor::Channel {
 public:
  Channel(std::string uri, std::string uuid) : uri_(std::move(uri)), uuid_(std::move(uuid)) {}

  /// @param main the connection of the moment; a channel that was opened beside an earlier one is opened anew
  Result<json::value> execute(const ConnectionPtr& main, const std::string& command, const json::object& arguments) {
    const auto domain = domain_beside(main);
    if (!domain) return fail(unreachable(domain.error()));
    const auto text = qmp::encode_command(command, arguments, std::nullopt);
    char* raw = nullptr;
    const int failed =
        virDomainQemuMonitorCommand(domain->get(), text.c_str(), &raw, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
    const CText answer(raw);
    if (failed != 0) return fail(unreachable(last_error("QEMU's monitor")));
    UMBRA_TRY(auto reply, qmp::parse_reply(answer.get()));
    return std::move(reply.result);
  }

 private:
  /// A failure of libvirt's to ask QEMU; QEMU's own refusal is an answer.
  static Error unreachable(Error error) {
    if (error.code != Errc::kDenied && error.code != Errc::kInvalid) error.code = Errc::kUnavailable;
    return error;
  }

  Result<DomainPtr> domain_beside(const ConnectionPtr& main) {
    const std::lock_guard lock(mutex_);
    if (domain_ && beside_.lock() == main) return domain_;
    domain_.reset();
    const auto connection = own(virConnectOpen(uri_.c_str()));
    if (!connection) return fail(last_error(uri_));
    virConnectSetKeepAlive(connection.get(), kKeepaliveSeconds, kKeepaliveMisses);
    domain_ = own(virDomainLookupByUUIDString(connection.get(), uuid_.c_str()));  // keeps the connection
    if (!domain_) return fail(last_error("looking the domain up"));
    beside_ = main;
    return domain_;
  }

  const std::string uri_, uuid_;
  std::mutex mutex_;
  std::weak_ptr<virConnect> beside_;
  DomainPtr domain_;
};

LibvirtMonitor::LibvirtMonitor(std::weak_ptr<LibvirtHypervisor::State> state, std::string uuid)
    : state_(std::move(state)),
      uuid_(std::move(uuid)),
      lane_(std::make_shared<Lane>(LibvirtHypervisor::State::kWidth)),
      channel_(std::make_shared<Channel>(state_.lock()->connection->uri(), uuid_)) {}

LibvirtMonitor::~LibvirtMonitor() {
  // Closing a connection may wait for libvirtd: not on the strand.
  if (const auto state = state_.lock())
    state->pool->post([channel = std::move(channel_)]() mutable { channel.reset(); });
}

Task<json::value> LibvirtMonitor::execute(std::string command, json::object arguments, Deadline deadline) {
  const auto state = state_.lock();
  if (!state) co_return fail(Errc::kCancelled, "the hypervisor was closed");
  const auto lane = lane_;
  const bool looks = command.starts_with("query-") || command.starts_with("migrate-set-");  // changes nothing for good
  const std::function<Result<json::value>(ConnectionPtr)> call =
      [channel = channel_, command = std::move(command), arguments = std::move(arguments)](const ConnectionPtr& main) {
        return channel->execute(main, command, arguments);
      };
  if (!looks) co_return co_await LibvirtHypervisor::State::on_change(state, uuid_, call, deadline);
  co_return co_await LibvirtHypervisor::State::in_lane(state, lane, call, deadline);
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
