#include "base/task_group.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace umbra {

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), ended_(executor_, asio::steady_timer::time_point::max()) {}

void TaskGroup::spawn(asio::awaitable<void> work) {
  if (stopping_) return;
  const auto self = running_.emplace(running_.end());
  const auto done = [this, self](std::exception_ptr thrown) {
    running_.erase(self);
    if (running_.empty()) ended_.cancel();
    if (!thrown) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& error) {
      if (!stopping_ || error.code() != asio::error::operation_aborted) throw;
    }
  };
  asio::co_spawn(executor_, std::move(work), asio::bind_cancellation_slot(self->slot(), done));
}

asio::awaitable<void> TaskGroup::stop() {
  stopping_ = true;
  // Cancelling may end a task at once, and with it its place in the list.
  for (auto next = running_.begin(); next != running_.end();) (next++)->emit(asio::cancellation_type::all);
  boost::system::error_code woken;
  while (!running_.empty()) co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

}  // namespace umbra
