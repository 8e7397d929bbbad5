/// A limit to how many blocking calls about one thing are under way.
#pragma once

#include <deque>
#include <memory>

#include "base/one_shot.hpp"

namespace umbra::virt {

/// A few at a time, the others in their order behind. Executor's strand only.
class Lane : public std::enable_shared_from_this<Lane> {
 public:
  /// A place in the lane, given back when it goes; from any thread.
  class Place {
   public:
    Place(asio::any_io_executor executor, std::shared_ptr<Lane> lane)
        : executor_(std::move(executor)), lane_(std::move(lane)) {}
    Place(const Place&) = delete;
    ~Place() {
      asio::post(executor_, [lane = lane_] { lane->leave(); });
    }

   private:
    asio::any_io_executor executor_;
    std::shared_ptr<Lane> lane_;
  };

  explicit Lane(unsigned width) : width_(width) {}
  bool idle() const { return busy_ == 0; }

  /// @error kTimeout no place within `deadline`: earlier calls hang
  static Task<std::shared_ptr<Place>> enter(std::shared_ptr<Lane> self, Deadline deadline) {
    const auto executor = co_await asio::this_coro::executor;
    if (self->busy_ < self->width_) {
      ++self->busy_;
    } else {
      const auto turn = std::make_shared<OneShot<void>>(executor);
      self->waiting_.push_back(turn);
      if (!co_await OneShot<void>::wait(turn, deadline)) {
        std::erase(self->waiting_, turn);
        co_return fail({Errc::kTimeout, "earlier calls to this domain are unanswered",
                        "its QEMU may hang; see virsh domjobinfo and QEMU's log"});
      }
    }
    co_return std::make_shared<Place>(executor, self);
  }

 private:
  void leave() {
    if (waiting_.empty()) {
      --busy_;
      return;
    }
    const auto next = waiting_.front();
    waiting_.pop_front();
    next->deliver({});
  }

  const unsigned width_;
  unsigned busy_ = 0;
  std::deque<std::shared_ptr<OneShot<void>>> waiting_;
};

}  // namespace umbra::virt
