#include "agentd/virt/libvirt_connection.hpp"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "agentd/virt/event_loop.hpp"
#include "agentd/virt/lifecycle.hpp"

namespace umbra::virt {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kFirstBackoff = 100ms, kLongestBackoff = 5s;
// Opening has no deadline of its own in libvirt: a stopped libvirtd holds the attempt until it goes on or dies, and a
// second attempt would only hang beside it.
constexpr Deadline kOpen = 24h;

// libvirtd filters by this before it queues. MIGRATION_PASS must stay out: a migration with little to send makes
// thousands a second, and libvirtd walks its queue to a client for each, until it answers nobody.
constexpr const char* kEvents = "^(MIGRATION|STOP|RESUME|SHUTDOWN|RESET|POWERDOWN|BLOCK_IO_ERROR|JOB_STATUS_CHANGE)$";

/// Whom a callback is for; libvirt owns it.
struct Address {
  std::weak_ptr<LibvirtConnection> connection;
  std::uint64_t number;

  static void* make(const std::weak_ptr<LibvirtConnection>& connection, std::uint64_t number) {
    return new Address{connection, number};
  }
  static void free(void* opaque) { delete static_cast<Address*>(opaque); }
  static const Address& of(void* opaque) { return *static_cast<const Address*>(opaque); }
};

std::string uuid_of(virDomainPtr domain) {
  char text[VIR_UUID_STRING_BUFLEN] = "";
  virDomainGetUUIDString(domain, text);
  return text;
}

}  // namespace

LibvirtConnection::LibvirtConnection(asio::any_io_executor executor, std::shared_ptr<WorkerPool> pool, std::string uri,
                                     Handlers handlers)
    : executor_(std::move(executor)),
      pool_(std::move(pool)),
      uri_(std::move(uri)),
      handlers_(std::move(handlers)),
      wake_(executor_) {}

void LibvirtConnection::start() {
  asio::co_spawn(executor_, keep_up(shared_from_this()), asio::detached);
}

void LibvirtConnection::stop() {
  stopped_ = true;
  handlers_ = {};
  wake_.cancel();
  drop();
}

void LibvirtConnection::drop() {
  // The last reference closes the connection, which may talk to libvirtd: not here.
  if (connection_) pool_->post([connection = std::move(connection_)]() mutable { connection.reset(); });
  connection_.reset();
}

asio::awaitable<void> LibvirtConnection::keep_up(std::shared_ptr<LibvirtConnection> self) {
  auto backoff = kFirstBackoff;
  bool told_down = false;
  while (!self->stopped_) {
    const auto number = ++self->number_;
    auto attempt = [uri = self->uri_, weak = Weak(self), number] { return open(uri, weak, number); };
    const std::function<Result<ConnectionPtr>()> work = std::move(attempt);
    auto opened = co_await self->pool_->run(work, kOpen);
    if (self->stopped_) co_return;
    if (opened && self->closed_number_ < number) {
      self->connection_ = std::move(*opened);
      backoff = kFirstBackoff;
      told_down = false;
      spdlog::info("connected to libvirt at {}", self->uri_);
      self->wake_.expires_at(std::chrono::steady_clock::time_point::max());
      if (self->handlers_.connection) self->handlers_.connection(true);
      if (!self->stopped_ && self->closed_number_ < number)
        co_await self->wake_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (self->stopped_) co_return;
      self->drop();
    } else if (!opened && !told_down) {
      spdlog::warn("{}", opened.error().text());
    }
    if (!std::exchange(told_down, true) && self->handlers_.connection) self->handlers_.connection(false);
    self->wake_.expires_after(backoff);
    co_await self->wake_.async_wait(asio::as_tuple(asio::use_awaitable));
    backoff = std::min(backoff * 2, kLongestBackoff);
  }
}

Result<ConnectionPtr> LibvirtConnection::open(const std::string& uri, const Weak& weak, std::uint64_t number) {
  const auto connection = own(virConnectOpen(uri.c_str()));
  if (!connection) return fail(with_context(last_error(uri), "cannot reach libvirtd"));
  UMBRA_CHECK(subscribe(connection, weak, number));
  return connection;
}

Result<void> LibvirtConnection::subscribe(const ConnectionPtr& connection, const Weak& weak, std::uint64_t number) {
  auto* const c = connection.get();
  if (virConnectRegisterCloseCallback(c, on_closed, Address::make(weak, number), Address::free) < 0)
    return fail(last_error("watching libvirt's connection"));
  // Refused only by drivers without a daemon, which cannot go away.
  virConnectSetKeepAlive(c, kKeepaliveSeconds, kKeepaliveMisses);
  if (virConnectDomainEventRegisterAny(c, nullptr, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), Address::make(weak, number),
                                       Address::free) < 0 ||
      virConnectDomainEventRegisterAny(c, nullptr, VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot),
                                       Address::make(weak, number), Address::free) < 0)
    return fail(last_error("registering for libvirt's events"));
  UMBRA_CHECK(subscribe_to_changes(connection, weak, number));
  // For all domains and events at once: no registration stands between a shadow's start and its first event.
  if (virConnectDomainQemuMonitorEventRegister(c, nullptr, kEvents, on_qemu, Address::make(weak, number), Address::free,
                                               VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX) < 0)
    return fail(last_error("registering for QEMU's events"));
  return {};
}

/// What people and backups do to a domain that runs. Each event has its own arguments, of which only the domain counts
/// here: whoever cares compares the whole.
Result<void> LibvirtConnection::subscribe_to_changes(const ConnectionPtr& connection, const Weak& weak,
                                                     std::uint64_t number) {
  const virConnectDomainEventMetadataChangeCallback metadata = [](virConnectPtr, virDomainPtr domain, int, const char*,
                                                                  void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "metadata");
  };
  const virConnectDomainEventTunableCallback tunable = [](virConnectPtr, virDomainPtr domain, virTypedParameterPtr, int,
                                                          void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "tunable");
  };
  const virConnectDomainEventBlockJobCallback job = [](virConnectPtr, virDomainPtr domain, const char*, int, int,
                                                       void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "block-job");
  };
  const virConnectDomainEventDiskChangeCallback disk = [](virConnectPtr, virDomainPtr domain, const char*, const char*,
                                                          const char*, int, void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "disk");
  };
  const virConnectDomainEventTrayChangeCallback tray = [](virConnectPtr, virDomainPtr domain, const char*, int,
                                                          void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "tray");
  };
  const virConnectDomainEventDeviceAddedCallback added = [](virConnectPtr, virDomainPtr domain, const char*,
                                                            void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "device-added");
  };
  const virConnectDomainEventDeviceRemovedCallback removed = [](virConnectPtr, virDomainPtr domain, const char*,
                                                                void* opaque) {
    tell(opaque, domain, LifecycleChange::kChanged, "device-removed");
  };
  const std::array<std::pair<int, virConnectDomainEventGenericCallback>, 7> events{{
      {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(metadata)},
      {VIR_DOMAIN_EVENT_ID_TUNABLE, VIR_DOMAIN_EVENT_CALLBACK(tunable)},
      {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(job)},
      {VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(disk)},
      {VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(tray)},
      {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(added)},
      {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(removed)},
  }};
  for (const auto& [id, callback] : events)
    if (virConnectDomainEventRegisterAny(connection.get(), nullptr, id, callback, Address::make(weak, number),
                                         Address::free) < 0)
      return fail(last_error("registering for libvirt's events of changes"));
  return {};
}

void LibvirtConnection::on_closed(virConnectPtr, int reason, void* opaque) {
  // From any thread, and with libvirt's locks held.
  const auto& address = Address::of(opaque);
  if (const auto self = address.connection.lock())
    asio::post(self->executor_, [self, number = address.number, reason] { self->closed(number, reason); });
}

void LibvirtConnection::closed(std::uint64_t number, int reason) {
  if (number != number_ || stopped_) return;
  closed_number_ = number;
  spdlog::warn("the connection to libvirt at {} is lost: {}", uri_,
               reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE ? "libvirtd does not answer" : "libvirtd closed it");
  wake_.cancel();
}

void LibvirtConnection::tell(void* opaque, virDomainPtr domain, LifecycleChange change, std::string_view detail) {
  // On the executor's strand: libvirt delivers events by the event loop's timer.
  const auto self = Address::of(opaque).connection.lock();
  if (!self || Address::of(opaque).number != self->number_ || !self->handlers_.lifecycle) return;
  self->handlers_.lifecycle({uuid_of(domain), virDomainGetName(domain), change, std::string(detail)});
}

void LibvirtConnection::on_lifecycle(virConnectPtr, virDomainPtr domain, int event, int detail, void* opaque) {
  const auto [change, word] = lifecycle_of(event, detail);
  tell(opaque, domain, change, word);
}

void LibvirtConnection::on_reboot(virConnectPtr, virDomainPtr domain, void* opaque) {
  tell(opaque, domain, LifecycleChange::kReset, "reset");
}

void LibvirtConnection::on_qemu(virConnectPtr, virDomainPtr domain, const char* event, long long seconds,
                                unsigned micros, const char* details, void* opaque) {
  const auto self = Address::of(opaque).connection.lock();
  if (!self || Address::of(opaque).number != self->number_ || !self->handlers_.qemu) return;
  const auto at = std::chrono::seconds(seconds) + std::chrono::microseconds(micros);
  self->handlers_.qemu(uuid_of(domain), event, at, details != nullptr ? details : "");
}

}  // namespace umbra::virt
