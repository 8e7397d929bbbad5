/// D-Bus on an Asio loop (sd-bus(3)).
#pragma once

#include <systemd/sd-bus.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/task.hpp"

namespace umbra::systemd {

struct ReleaseMessage {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using BusMessage = std::unique_ptr<sd_bus_message, ReleaseMessage>;

/// "what failed: No such device" for a negative errno of sd-bus. @error kUnavailable
Error bus_error(std::string_view what, int code);

/// A connection to the system bus. One executor's thread only; kept alive by run().
class Bus : public std::enable_shared_from_this<Bus> {
 public:
  /// @error kUnavailable there is no bus, or it does not let us in
  static Result<std::shared_ptr<Bus>> open_system(const asio::any_io_executor& executor);
  ~Bus();
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  /// Serves calls, answers and signals until the bus is gone or close() is called.
  asio::awaitable<void> run();
  void close();

  sd_bus* get() const { return bus_; }

  /// A call without arguments yet; append them with sd_bus_message_append(3). @error kUnavailable
  Result<BusMessage> method(const char* destination, const char* path, const char* interface, const char* member);
  /// Sends it; run() must be under way. @return the answer
  /// @error kUnavailable the bus is gone; kTimeout; kDenied; kInvalid the peer's error, in its words
  Task<BusMessage> call(BusMessage message, Deadline deadline);
  /// Has `tell` called for each such signal, until close(). @error kUnavailable
  Result<void> on_signal(const char* sender, const char* path, const char* interface, const char* member,
                         std::function<void(sd_bus_message&)> tell);

 private:
  struct Call;
  Bus(const asio::any_io_executor& executor, sd_bus* bus);
  void await_input();
  void await_output();
  static int answered(sd_bus_message* message, void* call, sd_bus_error* error);
  static int heard(sd_bus_message* message, void* tell, sd_bus_error* error);

  sd_bus* bus_;
  asio::posix::stream_descriptor descriptor_;
  asio::steady_timer wake_;
  bool awaits_input_ = false, awaits_output_ = false, closed_ = false;
  std::vector<std::unique_ptr<std::function<void(sd_bus_message&)>>> listeners_;
};

}  // namespace umbra::systemd
