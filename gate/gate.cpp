#include "gate/gate.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "gate/opening.hpp"

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 2s;
constexpr auto kAlone = 60s;                  // without an agent and without a stream
constexpr std::uint64_t kTellEach = 1000;     // of those that are turned away
constexpr auto kHandedOver = 5s;              // an agent that begins anew takes a gate up sooner
constexpr std::size_t kMostStreams = 264;     // multifd's 255, a main one, and some that are refused
constexpr std::ptrdiff_t kMostKnocking = 32;  // at once, of those that have not been let in

}  // namespace

struct Gate::Stream {
  std::thread thread;
  std::unique_ptr<Channel> channel;  // set by the thread, under the mutex
  std::mutex mutex;
  bool stopped = false;
  std::atomic<bool> carried{false};  // it was let in

  /// In the thread: from now on stop() reaches it.
  bool install(std::unique_ptr<Channel> made) {
    const std::lock_guard lock(mutex);
    if (stopped) return false;
    channel = std::move(made);
    carried = true;
    return true;
  }
  std::uint64_t queued() {
    const std::lock_guard lock(mutex);
    return channel ? channel->queued() : 0;
  }
  void stop() {
    const std::lock_guard lock(mutex);
    stopped = true;
    if (channel) channel->stop();
  }
};

Gate::Gate(asio::any_io_executor executor, Clock& clock, Hooks hooks)
    : executor_(std::move(executor)),
      clock_(clock),
      hooks_(std::move(hooks)),
      timer_(executor_),
      started_unix_ms_(clock.unix_ms()),
      since_unix_ms_(started_unix_ms_),
      alone_since_(clock.steady()) {
  look();
}

Gate::~Gate() {
  *self_ = nullptr;
  for (auto& stream : streams_) stream->stop();
  for (auto& stream : streams_)
    if (stream->thread.joinable()) stream->thread.join();
}

Result<void> Gate::begin(v1::GateTask task) {
  if (task_) return fail(Errc::kConflict, "this gate has a task already");
  if (task.side() != v1::GATE_SIDE_SOURCE && task.side() != v1::GATE_SIDE_STANDBY)
    return fail(Errc::kInvalid, "a gate's task names its side");
  const rpc::TlsFiles files{task.ca(), task.certificate(), task.key(), task.crl()};
  UMBRA_TRY(tls_, rpc::Tls::load(files, v1::ROLE_AGENT));
  task_ = std::move(task);
  if (auto listening = listen(); !listening) {
    task_.reset();
    return listening;
  }
  accept();
  return {};
}

Result<void> Gate::listen() {
  if (task_->side() == v1::GATE_SIDE_SOURCE) {
    UMBRA_TRY(auto listener, listen_unix(task_->socket(), true));
    listening_ = std::make_unique<Descriptor>(std::move(listener));
  } else {
    UMBRA_TRY(auto listener, listen_tcp(task_->address(), static_cast<std::uint16_t>(task_->port_first()),
                                        static_cast<std::uint16_t>(task_->port_last())));
    listening_ = std::make_unique<Descriptor>(std::move(listener.first));
    endpoint_ = std::move(listener.second);
  }
  listener_.emplace(executor_, ::dup(listening_->get()));
  return {};
}

void Gate::accept() {
  listener_->async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error || over_ || !listener_) return;
    if (auto socket = gate::accept(*listening_)) on_connection(std::move(*socket));
    if (listener_) accept();
  });
}

/// QEMU, or root.
Result<void> Gate::admit_qemu(const Descriptor& socket) const {
  UMBRA_TRY(const auto user, user_of_peer(socket.get()));
  struct stat directory {};
  const auto parent = std::filesystem::path(task_->socket()).parent_path();
  if (user == 0 || user == ::geteuid()) return {};
  if (::stat(parent.c_str(), &directory) == 0 && directory.st_uid == user) return {};
  return fail(Errc::kDenied, "user {} is not the one that QEMU runs as", user);
}

/// From any thread.
bool Gate::claim(unsigned channel) {
  const std::lock_guard lock(claims_mutex_);
  return claims_.insert(channel).second;
}

void Gate::on_connection(Descriptor socket) {
  const bool source = task_->side() == v1::GATE_SIDE_SOURCE;
  const auto knocking = std::ranges::count_if(streams_, [](const auto& one) { return !one->carried; });
  if (streams_.size() >= kMostStreams || knocking >= kMostKnocking) {
    if (turned_away_++ % kTellEach == 0)
      spdlog::warn("too many connections at once: {} were turned away", turned_away_);
    return;
  }
  if (source) {
    if (const auto admitted = admit_qemu(socket); !admitted) return spdlog::warn("{}", admitted.error());
  }
  const auto renewed = tls_->reload();
  if (!renewed) spdlog::warn("the certificates that were read before stay in force: {}", renewed.error());
  const unsigned number = source ? ever_++ : 0;
  const auto stream = streams_.insert(streams_.end(), std::make_unique<Stream>());
  auto& it = **stream;
  it.thread = std::thread([this, self = self_, stream, &it, source, number, task = *task_, tls = *tls_,
                           socket = std::make_shared<Descriptor>(std::move(socket))]() mutable {
    const auto claims = [this](unsigned number_of_it) { return claim(number_of_it); };
    const auto relay = [&]() -> Result<void> {
      std::unique_ptr<Channel> channel;
      if (source) {
        UMBRA_TRY(auto line, call_standby(task, tls, number));
        channel =
            std::make_unique<Channel>(std::move(*socket), std::move(line), number == 0 ? &valve_ : nullptr, counters_);
      } else {
        UMBRA_TRY(auto answered, answer_source(std::move(*socket), task, tls, claims));
        channel = std::make_unique<Channel>(std::move(answered.qemu), std::move(answered.line), nullptr, counters_);
      }
      auto* const running = channel.get();
      if (!it.install(std::move(channel))) return fail(Errc::kCancelled, "the gate was told to end it");
      asio::post(executor_, [self] {
        if (*self != nullptr) (*self)->hooks_.changed();
      });
      return running->run();
    };
    auto outcome = relay();
    socket.reset();
    asio::post(executor_, [self, stream, outcome = std::move(outcome)]() mutable {
      if (*self != nullptr) (*self)->on_end(stream, std::move(outcome));
    });
  });
}

void Gate::on_end(std::list<std::unique_ptr<Stream>>::iterator stream, Result<void> outcome) {
  (*stream)->thread.join();
  const bool carried = (*stream)->carried;
  streams_.erase(stream);
  const bool source = task_->side() == v1::GATE_SIDE_SOURCE;
  if (carried && !source) ++ever_;
  if (!outcome) spdlog::warn("a stream of {} ended: {}", task_->vm_uuid(), outcome.error());
  // Who was not let in, or only knocked, is nothing to us; QEMU's own connection is.
  if (!outcome && (carried || source)) return end(outcome.error().message);
  if (carried && streams_.empty()) end("it is over: both sides have ended it");
  hooks_.changed();
  finish_if_over();
}

void Gate::set(v1::GateSetting setting) {
  since_unix_ms_ = clock_.unix_ms();
  passes_before_ = valve_.passes();
  valve_.set(std::move(setting), std::chrono::steady_clock::now());
}

void Gate::end(std::string why) {
  if (!over_) {
    over_ = true;
    why_ = std::move(why);
    spdlog::info("{}: {}", task_ ? task_->vm_uuid() : "no task", why_);
    listener_.reset();
    listening_.reset();
    timer_.cancel();
    if (task_ && task_->side() == v1::GATE_SIDE_SOURCE) ::unlink(task_->socket().c_str());
    for (auto& stream : streams_) stream->stop();
    hooks_.changed();
  }
  finish_if_over();
}

void Gate::finish_if_over() {
  if (over_ && streams_.empty()) asio::post(executor_, [ended = std::exchange(hooks_.ended, [] {})] { ended(); });
}

void Gate::attended(bool by_somebody) {
  if (attended_ && !by_somebody) alone_since_ = clock_.steady();
  attended_ = by_somebody;
}

/// Now and then: is anybody there?
void Gate::look() {
  timer_.expires_after(kLook);
  timer_.async_wait([this](boost::system::error_code error) {
    if (error || over_) return;
    const auto alone = attended_ ? 0s : clock_.steady() - alone_since_;
    if (alone >= kHandedOver) valve_.leave_alone(std::chrono::steady_clock::now());
    if (streams_.empty() && alone >= kAlone) return end("nobody needs it");
    const bool waits = task_ && streams_.empty() && ever_ == 0;
    struct stat there {};
    if (waits && ::stat(task_->socket().c_str(), &there) != 0 && errno == ENOENT) return end("its QEMU is gone");
    look();
  });
}

v1::GateStatus Gate::status() const {
  v1::GateStatus status;
  if (task_) {
    auto* task = status.mutable_task();
    *task = *task_;
    task->clear_key();
    task->clear_warrant();
  }
  status.set_endpoint(endpoint_);
  *status.mutable_setting() = valve_.setting();
  status.set_since_unix_ms(since_unix_ms_);
  status.set_started_unix_ms(started_unix_ms_);
  unsigned open = 0;
  for (const auto& stream : streams_) {
    open += stream->carried ? 1 : 0;
    status.set_queued(status.queued() + stream->queued());
  }
  status.set_channels(open);
  status.set_channels_ever(task_ && task_->side() == v1::GATE_SIDE_STANDBY ? ever_ + open : ever_);
  status.set_bytes(counters_.bytes);
  status.set_passes(valve_.passes());
  status.set_pulses(valve_.pulses());
  status.set_passes_before(passes_before_);
  status.set_stalls(counters_.stalls);
  status.set_round_trip_us(static_cast<std::uint64_t>(std::max<std::int64_t>(counters_.round_trip_us, 0)));
  status.set_kernel_tls(counters_.kernel_tls);
  status.set_ended(why_);
  return status;
}

}  // namespace umbra::gate
