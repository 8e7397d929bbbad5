#include "agentd/virt/worker_pool.hpp"

#include <pthread.h>

namespace umbra::virt {

WorkerPool::WorkerPool(const std::string& name, unsigned threads)
    : shared_(std::make_shared<Shared>()), work_(asio::make_work_guard(shared_->context)) {
  shared_->alive = threads;
  for (unsigned number = 0; number < threads; ++number)
    threads_.emplace_back([shared = shared_, title = fmt::format("{}-{}", name, number)] {
      ::pthread_setname_np(::pthread_self(), title.c_str());
      shared->context.run();
      --shared->alive;
    });
}

WorkerPool::~WorkerPool() {
  using namespace std::chrono_literals;
  work_.reset();
  const auto until = std::chrono::steady_clock::now() + 1s;
  while (shared_->alive > 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(1ms);
  const bool hangs = shared_->alive > 0;
  for (auto& thread : threads_) {
    if (hangs)
      thread.detach();
    else
      thread.join();
  }
}

}  // namespace umbra::virt
