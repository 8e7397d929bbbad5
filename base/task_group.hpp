/// Coroutines that end before the objects they use do.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>

namespace umbra {

namespace asio = boost::asio;

/// Starts coroutines and can end them all. Its owner awaits stop() before destroying what they use.
/// Owner's strand only.
class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Runs `work` until it ends or stop() cancels it at its next wait. An exception that leaves it, other than by
  /// cancellation, is a bug: it leaves io_context::run(), to end the process. After stop(), starts nothing.
  void spawn(asio::awaitable<void> work);

  /// Cancels all and returns once the last has ended.
  asio::awaitable<void> stop();
  bool stopping() const { return stopping_; }

 private:
  asio::any_io_executor executor_;
  std::list<asio::cancellation_signal> running_;
  asio::steady_timer ended_;
  bool stopping_ = false;
};

}  // namespace umbra
