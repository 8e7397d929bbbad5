#include "systemd/bus.hpp"

#include <poll.h>

#include <boost/asio/as_tuple.hpp>
#include <cstring>

namespace umbra::systemd {
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
using Microseconds = std::chrono::microseconds;

}  // namespace

Error bus_error(std::string_view what, int code) {
  return {Errc::kUnavailable, fmt::format("{}: {}", what, std::strerror(-code)), ""};
}

struct Bus::Call {
  explicit Call(const asio::any_io_executor& executor) : done(executor, asio::steady_timer::time_point::max()) {}
  ~Call() { sd_bus_slot_unref(slot); }
  sd_bus_slot* slot = nullptr;
  BusMessage answer;
  asio::steady_timer done;
};

Result<std::shared_ptr<Bus>> Bus::open_system(const asio::any_io_executor& executor) {
  sd_bus* bus = nullptr;
  if (const int opened = sd_bus_open_system(&bus); opened < 0) return fail(bus_error("the system bus", opened));
  return std::shared_ptr<Bus>(new Bus(executor, bus));
}

Bus::Bus(const asio::any_io_executor& executor, sd_bus* bus)
    : bus_(bus), descriptor_(executor, sd_bus_get_fd(bus)), wake_(executor) {}

Bus::~Bus() {
  close();
}

void Bus::close() {
  if (std::exchange(closed_, true)) return;
  descriptor_.release();  // the bus closes it
  sd_bus_flush_close_unref(std::exchange(bus_, nullptr));
  wake_.cancel();
}

void Bus::await_input() {
  if (std::exchange(awaits_input_, true)) return;
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](const auto&) {
    self->awaits_input_ = false;
    self->wake_.cancel();
  });
}

void Bus::await_output() {
  if (std::exchange(awaits_output_, true)) return;
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_write, [self = shared_from_this()](const auto&) {
    self->awaits_output_ = false;
    self->wake_.cancel();
  });
}

asio::awaitable<void> Bus::run() {
  const auto self = shared_from_this();
  while (!closed_) {
    int processed = 1;
    while (!closed_ && processed > 0) processed = sd_bus_process(bus_, nullptr);
    if (closed_ || processed < 0) break;
    std::uint64_t until = 0;
    if (sd_bus_get_timeout(bus_, &until) < 0) break;
    // sd-bus's clock is CLOCK_MONOTONIC, as steady_clock's.
    if (until == UINT64_MAX)
      wake_.expires_at(asio::steady_timer::time_point::max());
    else
      wake_.expires_at(asio::steady_timer::time_point(Microseconds(until)));
    const int events = sd_bus_get_events(bus_);
    if (events < 0) break;
    await_input();
    if ((events & POLLOUT) != 0) await_output();
    (void)co_await wake_.async_wait(kNoThrow);
  }
  close();
}

Result<BusMessage> Bus::method(const char* destination, const char* path, const char* interface, const char* member) {
  sd_bus_message* message = nullptr;
  if (closed_) return fail({Errc::kUnavailable, "the system bus is gone", ""});
  const int made = sd_bus_message_new_method_call(bus_, &message, destination, path, interface, member);
  if (made < 0) return fail(bus_error(member, made));
  return BusMessage(message);
}

int Bus::answered(sd_bus_message* message, void* call, sd_bus_error*) {
  auto& waiting = *static_cast<Call*>(call);
  waiting.answer.reset(sd_bus_message_ref(message));
  waiting.done.cancel();
  return 0;
}

Task<BusMessage> Bus::call(BusMessage message, Deadline deadline) {
  const auto self = shared_from_this();
  if (closed_) co_return fail({Errc::kUnavailable, "the system bus is gone", ""});
  const std::string member = sd_bus_message_get_member(message.get());
  Call call(wake_.get_executor());
  const auto timeout = static_cast<std::uint64_t>(std::chrono::duration_cast<Microseconds>(deadline).count());
  if (const int sent = sd_bus_call_async(bus_, &call.slot, message.get(), &Bus::answered, &call, timeout); sent < 0)
    co_return fail(bus_error(member, sent));
  wake_.cancel();  // there may be something to write, and a deadline to heed
  // The bus keeps the deadline; this one is for a bus that went away.
  call.done.expires_after(deadline + Deadline(1000));
  while (!call.answer && !closed_) {
    const auto [woken] = co_await call.done.async_wait(kNoThrow);
    if (!woken) break;
  }
  if (!call.answer) co_return fail({Errc::kTimeout, fmt::format("{} was not answered", member), ""});
  if (const auto* error = sd_bus_message_get_error(call.answer.get()); error != nullptr) {
    const auto code = sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED) != 0 ? Errc::kDenied : Errc::kInvalid;
    co_return fail({code, fmt::format("{}: {}", member, error->message != nullptr ? error->message : error->name), ""});
  }
  co_return std::move(call.answer);
}

int Bus::heard(sd_bus_message* message, void* tell, sd_bus_error*) {
  (*static_cast<std::function<void(sd_bus_message&)>*>(tell))(*message);
  return 0;
}

Result<void> Bus::on_signal(const char* sender, const char* path, const char* interface, const char* member,
                            std::function<void(sd_bus_message&)> tell) {
  listeners_.push_back(std::make_unique<std::function<void(sd_bus_message&)>>(std::move(tell)));
  // Asynchronous, as everything here: whether the bus agreed shows by signals.
  const int matched = sd_bus_match_signal_async(bus_, nullptr, sender, path, interface, member, &Bus::heard, nullptr,
                                                listeners_.back().get());
  if (matched < 0) return fail(bus_error(member, matched));
  wake_.cancel();
  return {};
}

}  // namespace umbra::systemd
