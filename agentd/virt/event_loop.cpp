#include "agentd/virt/event_loop.hpp"

#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <poll.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <mutex>

namespace umbra::virt {
namespace {

/// A socket that libvirt watches. What other threads may touch is guarded; the rest belongs to the executor.
class Handle : public std::enable_shared_from_this<Handle> {
 public:
  /// @param duplicate of `fd`, and ours, since libvirt closes its own whenever it likes
  Handle(const asio::any_io_executor& executor, int id, int fd, int duplicate, int events,
         virEventHandleCallback callback, void* opaque, virFreeCallback free_opaque)
      : socket_(executor, duplicate),
        id_(id),
        fd_(fd),
        events_(events),
        callback_(callback),
        opaque_(opaque),
        free_opaque_(free_opaque) {}

  void update(int events) {
    {
      const std::lock_guard lock(mutex_);
      events_ = events;
    }
    // Loss of interest needs no wake-up: the pending wait finds out by itself.
    if (events != 0) watch_soon();
  }
  void watch_soon() {
    asio::post(socket_.get_executor(), [self = shared_from_this()] { self->watch(); });
  }
  void remove() {
    {
      const std::lock_guard lock(mutex_);
      removed_ = true;
    }
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      boost::system::error_code ignored;
      self->socket_.close(ignored);
      if (self->free_opaque_ != nullptr) self->free_opaque_(self->opaque_);
    });
  }

 private:
  using Wait = asio::posix::stream_descriptor::wait_type;

  /// What libvirt wants to know; nothing when it has removed the handle.
  int wanted() const {
    const std::lock_guard lock(mutex_);
    return removed_ ? 0 : events_;
  }

  void watch() {
    const auto events = wanted();
    if ((events & VIR_EVENT_HANDLE_READABLE) != 0) wait(Wait::wait_read, reading_);
    if ((events & VIR_EVENT_HANDLE_WRITABLE) != 0) wait(Wait::wait_write, writing_);
  }

  void wait(Wait kind, bool& waiting) {
    if (std::exchange(waiting, true)) return;
    socket_.async_wait(kind, [self = shared_from_this(), &waiting](boost::system::error_code error) {
      waiting = false;
      if (error) return;
      self->tell();
      self->watch();
    });
  }

  void tell() {
    const auto events = wanted();
    if (events == 0) return;
    pollfd state{socket_.native_handle(), 0, 0};
    if ((events & VIR_EVENT_HANDLE_READABLE) != 0) state.events |= POLLIN;
    if ((events & VIR_EVENT_HANDLE_WRITABLE) != 0) state.events |= POLLOUT;
    if (::poll(&state, 1, 0) <= 0) return;
    int happened = 0;
    if ((state.revents & POLLIN) != 0) happened |= VIR_EVENT_HANDLE_READABLE;
    if ((state.revents & POLLOUT) != 0) happened |= VIR_EVENT_HANDLE_WRITABLE;
    if ((state.revents & (POLLERR | POLLNVAL)) != 0) happened |= VIR_EVENT_HANDLE_ERROR;
    if ((state.revents & POLLHUP) != 0) happened |= VIR_EVENT_HANDLE_HANGUP;
    if (happened != 0) callback_(id_, fd_, happened, opaque_);
  }

  asio::posix::stream_descriptor socket_;
  const int id_, fd_;
  mutable std::mutex mutex_;
  int events_;
  bool removed_ = false;
  bool reading_ = false, writing_ = false;
  virEventHandleCallback callback_;
  void* opaque_;
  virFreeCallback free_opaque_;
};

/// A timer that fires every `interval` ms; 0 means as often as the loop turns, negative never.
class Timer : public std::enable_shared_from_this<Timer> {
 public:
  Timer(const asio::any_io_executor& executor, int id, int interval, virEventTimeoutCallback callback, void* opaque,
        virFreeCallback free_opaque)
      : timer_(executor),
        id_(id),
        interval_(interval),
        callback_(callback),
        opaque_(opaque),
        free_opaque_(free_opaque) {}

  void update(int interval) {
    {
      const std::lock_guard lock(mutex_);
      // One that is due at once stays due: under a flood of events libvirt says so for each of them.
      if (interval == 0 && interval_ == 0) return;
      interval_ = interval;
      ++version_;
    }
    if (interval >= 0) schedule_soon();
  }
  void schedule_soon() {
    asio::post(timer_.get_executor(), [self = shared_from_this()] { self->schedule(); });
  }
  void remove() {
    {
      const std::lock_guard lock(mutex_);
      removed_ = true;
      ++version_;
    }
    asio::post(timer_.get_executor(), [self = shared_from_this()] {
      self->timer_.cancel();
      if (self->free_opaque_ != nullptr) self->free_opaque_(self->opaque_);
    });
  }

 private:
  void schedule() {
    std::unique_lock lock(mutex_);
    if (removed_ || interval_ < 0 || scheduled_ == version_) return;
    scheduled_ = version_;
    const auto interval = interval_;
    const auto version = version_;
    lock.unlock();
    // libvirt delivers events by a timer of 0: no detour over a real timer, they are in the guest's blackout.
    if (interval == 0)
      return asio::post(timer_.get_executor(), [self = shared_from_this(), version] { self->fire(version); });
    timer_.expires_after(std::chrono::milliseconds(interval));
    timer_.async_wait([self = shared_from_this(), version](boost::system::error_code error) {
      if (!error) self->fire(version);
    });
  }

  void fire(std::uint64_t version) {
    {
      const std::lock_guard lock(mutex_);
      if (removed_ || version != version_) return;
    }
    callback_(id_, opaque_);
    {
      const std::lock_guard lock(mutex_);
      if (version != version_) return;  // changed by the callback, which scheduled it anew
      ++version_;
    }
    schedule();
  }

  asio::steady_timer timer_;
  const int id_;
  std::mutex mutex_;
  int interval_;
  bool removed_ = false;
  std::uint64_t version_ = 1, scheduled_ = 0;
  virEventTimeoutCallback callback_;
  void* opaque_;
  virFreeCallback free_opaque_;
};

/// All that libvirt watches in this process.
struct Loop {
  std::mutex mutex;
  asio::any_io_executor executor;
  int next_id = 1;
  std::map<int, std::shared_ptr<Handle>> handles;
  std::map<int, std::shared_ptr<Timer>> timers;
};

Loop& loop() {
  static auto* const instance = new Loop;  // never destroyed: libvirt's threads may outlive main()
  return *instance;
}

template <class T>
std::shared_ptr<T> find(std::map<int, std::shared_ptr<T>>& map, int id, bool take) {
  const std::lock_guard lock(loop().mutex);
  const auto found = map.find(id);
  if (found == map.end()) return nullptr;
  auto object = found->second;
  if (take) map.erase(found);
  return object;
}

int add_handle(int fd, int events, virEventHandleCallback callback, void* opaque, virFreeCallback free_opaque) {
  const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return -1;
  const std::lock_guard lock(loop().mutex);
  const int id = loop().next_id++;
  const auto handle =
      std::make_shared<Handle>(loop().executor, id, fd, duplicate, events, callback, opaque, free_opaque);
  loop().handles.emplace(id, handle);
  handle->watch_soon();
  return id;
}

void update_handle(int id, int events) {
  if (const auto handle = find(loop().handles, id, false)) handle->update(events);
}

int remove_handle(int id) {
  const auto handle = find(loop().handles, id, true);
  if (!handle) return -1;
  handle->remove();
  return 0;
}

int add_timer(int interval, virEventTimeoutCallback callback, void* opaque, virFreeCallback free_opaque) {
  const std::lock_guard lock(loop().mutex);
  const int id = loop().next_id++;
  const auto timer = std::make_shared<Timer>(loop().executor, id, interval, callback, opaque, free_opaque);
  loop().timers.emplace(id, timer);
  timer->schedule_soon();
  return id;
}

void update_timer(int id, int interval) {
  if (const auto timer = find(loop().timers, id, false)) timer->update(interval);
}

int remove_timer(int id) {
  const auto timer = find(loop().timers, id, true);
  if (!timer) return -1;
  timer->remove();
  return 0;
}

}  // namespace

Result<void> install_event_loop(asio::any_io_executor executor) {
  const std::lock_guard lock(loop().mutex);
  if (loop().executor) {
    if (loop().executor == executor) return {};
    return fail(Errc::kInternal, "libvirt's event loop runs on another executor already");
  }
  loop().executor = std::move(executor);
  virEventRegisterImpl(add_handle, update_handle, remove_handle, add_timer, update_timer, remove_timer);
  return {};
}

}  // namespace umbra::virt
