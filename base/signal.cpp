#include "base/signal.hpp"

#include <boost/asio/redirect_error.hpp>

namespace umbra {

Signal::Signal(asio::any_io_executor executor, Clock& clock)
    : executor_(std::move(executor)), clock_(clock), watch_(clock.watch([this] { wake_due(); })) {}

Signal::~Signal() = default;

void Signal::notify() {
  for (auto& waiter : *waiters_) waiter.timer.cancel();
}

void Signal::wake_due() {
  for (auto& waiter : *waiters_)
    if (waiter.deadline <= clock_.steady()) waiter.timer.cancel();
}

asio::awaitable<void> Signal::wait_until(TimePoint deadline) {
  if (deadline <= clock_.steady()) co_return;
  // A clock that stands still wakes its waiters when it is moved; a real one by the timer.
  const auto expiry = clock_.runs() ? deadline : TimePoint::max();
  clock_.expect(deadline);
  const auto waiter = waiters_->insert(waiters_->end(), Waiter{asio::steady_timer(executor_, expiry), deadline});
  struct Leave {
    std::shared_ptr<std::list<Waiter>> list;
    std::list<Waiter>::iterator self;
    ~Leave() { list->erase(self); }
  } leave{waiters_, waiter};
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace umbra
