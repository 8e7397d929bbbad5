/// The connection to libvirtd, kept up.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agentd/virt/hypervisor.hpp"
#include "agentd/virt/libvirt_handles.hpp"
#include "agentd/virt/worker_pool.hpp"

namespace umbra::virt {

/// Opens the connection, registers for events, and does both again, with backoff, whenever it breaks: when libvirtd
/// ends, or leaves three keepalive messages (15 s) unanswered. Executor's strand only.
class LibvirtConnection : public std::enable_shared_from_this<LibvirtConnection> {
 public:
  struct Handlers {
    std::function<void(bool up)> connection;  ///< also false when the very first attempt fails
    std::function<void(const LifecycleEvent&)> lifecycle;
    /// A QEMU's event, with `data` as JSON text or empty.
    std::function<void(const std::string& uuid, const char* name, std::chrono::microseconds at, const char* data)> qemu;
  };

  LibvirtConnection(asio::any_io_executor executor, std::shared_ptr<WorkerPool> pool, std::string uri,
                    Handlers handlers);

  void start();
  /// Closes it and tells nothing more. Handlers are not called after this.
  void stop();
  /// Null while libvirtd is away.
  const ConnectionPtr& get() const { return connection_; }
  const std::string& uri() const { return uri_; }

 private:
  using Weak = std::weak_ptr<LibvirtConnection>;

  static asio::awaitable<void> keep_up(std::shared_ptr<LibvirtConnection> self);
  static Result<ConnectionPtr> open(const std::string& uri, const Weak& weak, std::uint64_t number);
  static Result<void> subscribe(const ConnectionPtr& connection, const Weak& weak, std::uint64_t number);
  static void on_closed(virConnectPtr connection, int reason, void* opaque);
  static void on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void* opaque);
  static void tell(void* opaque, virDomainPtr domain, LifecycleChange change, std::string_view detail);
  static void on_reboot(virConnectPtr connection, virDomainPtr domain, void* opaque);
  static Result<void> subscribe_to_changes(const ConnectionPtr& connection, const Weak& weak, std::uint64_t number);
  static void on_qemu(virConnectPtr connection, virDomainPtr domain, const char* event, long long seconds,
                      unsigned micros, const char* details, void* opaque);
  void closed(std::uint64_t number, int reason);
  void drop();

  asio::any_io_executor executor_;
  std::shared_ptr<WorkerPool> pool_;
  std::string uri_;
  Handlers handlers_;
  ConnectionPtr connection_;
  std::uint64_t number_ = 0;         ///< of the attempt; callbacks of earlier connections are ignored
  std::uint64_t closed_number_ = 0;  ///< the newest that is known to be closed
  asio::steady_timer wake_;
  bool stopped_ = false;
};

}  // namespace umbra::virt
