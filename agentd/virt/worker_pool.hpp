/// Threads for calls that block.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/one_shot.hpp"

namespace umbra::virt {

/// A fixed number of named threads. A call that hangs keeps its thread; the others go on serving, so at most as many
/// calls as there are threads can hang before new ones wait.
class WorkerPool {
 public:
  /// @param name of the threads as `ps -L` shows it; at most 12 characters
  WorkerPool(const std::string& name, unsigned threads);
  /// Waits a second for calls under way; a thread whose call hangs longer is left to the process's end.
  ~WorkerPool();

  /// Runs `work` on a thread and gives its result back on the caller's executor.
  /// @error kTimeout the deadline passed: work that had not begun will not run, work that had goes on and is not heard
  /// of;
  ///        kInternal it threw
  template <class T>
  Task<T> run(std::function<Result<T>()> work, Deadline deadline) {
    enum State { kQueued, kBegun, kGivenUp };
    const auto executor = co_await asio::this_coro::executor;
    const auto state = std::make_shared<std::atomic<int>>(kQueued);
    const auto answer = std::make_shared<OneShot<T>>(executor);
    asio::post(shared_->context, [work = std::move(work), state, answer, executor] {
      int queued = kQueued;
      if (!state->compare_exchange_strong(queued, kBegun)) return;
      Result<T> result = guarded(work);
      asio::post(executor, [answer, result = std::move(result)]() mutable { answer->deliver(std::move(result)); });
    });
    auto result = co_await OneShot<T>::wait(answer, deadline);
    int queued = kQueued;
    state->compare_exchange_strong(queued, kGivenUp);
    co_return result;
  }

  /// Runs `work` some time, for nobody to hear of.
  void post(std::function<void()> work) { asio::post(shared_->context, std::move(work)); }

 private:
  struct Shared {
    asio::io_context context;
    std::atomic<unsigned> alive{0};
  };

  template <class T>
  static Result<T> guarded(const std::function<Result<T>()>& work) {
    try {
      return work();
    } catch (const std::exception& exception) {
      return fail(Errc::kInternal, "a blocking call threw: {}", exception.what());
    }
  }

  std::shared_ptr<Shared> shared_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

}  // namespace umbra::virt
