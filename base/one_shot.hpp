/// A value that arrives once, for one waiter: the bridge between callbacks and coroutines.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <memory>
#include <optional>

#include "base/task.hpp"

namespace umbra {

/// Shared by the one who delivers and the one who waits, who may give up first. Both on the executor's strand.
template <class T>
class OneShot {
 public:
  explicit OneShot(const asio::any_io_executor& executor) : wake_(executor) {}

  /// The first delivery counts; later ones are ignored.
  void deliver(Result<T> result) {
    if (result_) return;
    result_ = std::move(result);
    wake_.cancel();
  }

  /// @error what was delivered; kTimeout nothing was within `deadline`
  static Task<T> wait(std::shared_ptr<OneShot> self, Deadline deadline) {
    if (!self->result_) {
      self->wake_.expires_after(deadline);
      co_await self->wake_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    if (!self->result_) self->result_ = fail(Errc::kTimeout, "no answer within {} ms", deadline.count());
    co_return std::move(*self->result_);
  }

 private:
  asio::steady_timer wake_;
  std::optional<Result<T>> result_;
};

}  // namespace umbra
