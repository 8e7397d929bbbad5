#include "sim/transport.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <deque>

#include "base/signal.hpp"

namespace umbra::sim {
namespace {

using namespace std::chrono_literals;

constexpr auto kRedial = 250ms;  // as rpc::Dialer, without its chance
constexpr auto kMostRedial = 10s;

/// "umbra.v1.Standby/Accept" → "Standby/Accept"
std::string short_name(const std::string& method) {
  return method.substr(method.rfind('.') + 1);
}

}  // namespace

/// One end of a connection. The other end is in another process, and reached by the Lan alone.
class End final : public rpc::Session, public std::enable_shared_from_this<End> {
 public:
  struct Outgoing {
    Outgoing(const asio::any_io_executor& executor, Clock& clock) : changed(executor, clock) {}
    Signal changed;
    std::deque<std::string> items;
    std::optional<Result<std::string>> outcome;
  };
  struct Incoming {
    asio::cancellation_signal cancel;
    bool stopped = false;
  };

  End(Exchange& exchange, asio::any_io_executor executor, std::string self, rpc::Identity peer, rpc::Services services,
      std::function<void(const Error&)> on_closed)
      : exchange_(exchange),
        executor_(std::move(executor)),
        self_(std::move(self)),
        peer_(std::move(peer)),
        services_(std::move(services)),
        on_closed_(std::move(on_closed)) {}

  static void pair(const std::shared_ptr<End>& a, const std::shared_ptr<End>& b) {
    a->other_ = b;
    b->other_ = a;
    a->keep_ = a;  // a connection stands also when nobody holds it
    b->keep_ = b;
    a->exchange_.ends_.insert(a->exchange_.ends_.end(), {a, b});
  }

  const rpc::Identity& peer() const override { return peer_; }
  const std::string& address() const override { return peer_.name; }
  bool is_open() const override { return open_; }
  const std::string& self() const { return self_; }

  Task<std::string> call(std::string method, std::string request, Deadline deadline) override {
    return call(shared_from_this(), std::move(method), std::move(request), deadline);
  }
  Result<std::shared_ptr<rpc::Inflow>> open_stream(std::string method, std::string request, Deadline) override;
  Task<void> drain(Deadline) override {
    close("shutting down");
    co_return Result<void>{};
  }
  void close(std::string_view why) override {
    if (!open_) return;
    const auto self = shared_from_this();
    exchange_.lan_.send(self_, peer_.name, [other = other_, reason = std::string(why)] {
      if (const auto end = other.lock()) end->closed(reason);
    });
    closed(std::string(why));
  }

  void closed(const std::string& why) {
    if (!std::exchange(open_, false)) return;
    const auto self = std::exchange(keep_, nullptr);
    const Error gone{Errc::kUnavailable, fmt::format("the connection to {} is closed: {}", peer_.name, why),
                     "the outcome of calls in flight is unknown; ask before repeating them"};
    for (auto calls = std::exchange(outgoing_, {}); const auto& [id, call] : calls) settle(*call, tl::unexpected(gone));
    for (auto calls = incoming_; const auto& [id, call] : calls) stop(call);
    if (const auto tell = std::exchange(on_closed_, nullptr)) asio::post(executor_, [tell, gone] { tell(gone); });
  }
  /// Its process is no more.
  void abandon() {
    open_ = false;
    on_closed_ = nullptr;
    keep_.reset();
  }

 private:
  class CallInflow;
  class CallOutflow;

  static Task<std::string> call(std::shared_ptr<End> self, std::string method, std::string request, Deadline deadline) {
    const auto verdict =
        self->exchange_.meet_({Moment::Kind::kRequest, self->self_, self->peer_.name, short_name(method)});
    co_await asio::post(self->executor_, asio::use_awaitable);  // a process that has just crashed never comes back here
    if (!self->open_)
      co_return fail(Errc::kUnavailable, "{}: the connection to {} is closed", method, self->peer_.name);
    const auto id = self->begin(method, std::move(request), verdict);
    const auto call = self->outgoing_.at(id);
    const auto settled = [&call] { return call->outcome.has_value(); };
    const auto answered = co_await call->changed.until(settled, std::min<Deadline>(deadline, 24h), method);
    self->outgoing_.erase(id);
    if (call->outcome) co_return std::move(*call->outcome);
    self->cancel(id);
    co_return fail(answered.error());
  }

  std::uint64_t begin(const std::string& method, std::string request, const Verdict& verdict) {
    const auto id = ++last_;
    outgoing_.emplace(id, std::make_shared<Outgoing>(executor_, exchange_.clock_));
    carry(verdict, [other = other_, id, method, request = std::move(request)] {
      if (const auto end = other.lock(); end && end->open_) end->serve(id, method, request);
    });
    return id;
  }
  void carry(const Verdict& verdict, const std::function<void()>& arrive) {
    if (verdict.kind == Verdict::Kind::kLose) return;
    const bool twice = verdict.kind == Verdict::Kind::kTwice;
    exchange_.lan_.send(self_, peer_.name, arrive, twice ? Milliseconds{} : verdict.delay);
    if (twice) exchange_.lan_.send(self_, peer_.name, arrive, verdict.delay);
  }
  void cancel(std::uint64_t id) {
    exchange_.lan_.send(self_, peer_.name, [other = other_, id] {
      const auto end = other.lock();
      if (!end || !end->open_) return;
      if (const auto found = end->incoming_.find(id); found != end->incoming_.end()) end->stop(found->second);
    });
  }
  static void settle(Outgoing& call, Result<std::string> outcome) {
    if (call.outcome) return;
    call.outcome = std::move(outcome);
    call.changed.notify();
  }

  void serve(std::uint64_t id, const std::string& method, std::string request) {
    const auto found = services_.find(method);
    if (!found) return reply({}, id, fail(found.error()));
    if (const auto allowed = rpc::Services::check_role(*found->method, peer_.name, peer_.role); !allowed)
      return reply({}, id, fail(allowed.error()));
    const auto call = std::make_shared<Incoming>();
    incoming_.insert_or_assign(id, call);  // the same again: served once more
    asio::co_spawn(executor_, work(shared_from_this(), id, *found, std::move(request), call),
                   asio::bind_cancellation_slot(call->cancel.slot(), [call](const std::exception_ptr&) {}));
  }
  static asio::awaitable<void> work(std::shared_ptr<End> self, std::uint64_t id, rpc::Services::Found found,
                                    std::string request, std::shared_ptr<Incoming> call);
  void stop(const std::shared_ptr<Incoming>& call) {
    if (std::exchange(call->stopped, true)) return;
    asio::post(executor_, [call] { call->cancel.emit(asio::cancellation_type::terminal); });
  }
  void reply(const Verdict& verdict, std::uint64_t id, Result<std::string> outcome) {
    carry(verdict, [other = other_, id, outcome = std::move(outcome)] {
      const auto end = other.lock();
      if (!end || !end->open_) return;
      if (const auto found = end->outgoing_.find(id); found != end->outgoing_.end()) settle(*found->second, outcome);
    });
  }
  void item(std::uint64_t id, std::string bytes) {
    exchange_.lan_.send(self_, peer_.name, [other = other_, id, bytes = std::move(bytes)] {
      const auto end = other.lock();
      if (!end || !end->open_) return;
      const auto found = end->outgoing_.find(id);
      if (found == end->outgoing_.end()) return;
      found->second->items.push_back(bytes);
      found->second->changed.notify();
    });
  }

  Exchange& exchange_;
  asio::any_io_executor executor_;
  std::string self_;
  rpc::Identity peer_;
  rpc::Services services_;
  std::function<void(const Error&)> on_closed_;
  std::weak_ptr<End> other_;
  std::shared_ptr<End> keep_;
  std::map<std::uint64_t, std::shared_ptr<Outgoing>> outgoing_;
  std::map<std::uint64_t, std::shared_ptr<Incoming>> incoming_;
  std::uint64_t last_ = 0;
  bool open_ = true;
};

class End::CallInflow final : public rpc::Inflow {
 public:
  CallInflow(std::shared_ptr<End> end, std::uint64_t id, Deadline deadline)
      : end_(std::move(end)), id_(id), call_(end_->outgoing_.at(id)) {
    if (deadline != rpc::kNoDeadline) until_ = end_->exchange_.clock_.steady() + deadline;
  }
  ~CallInflow() override { give_up(); }
  Task<std::optional<std::string>> next() override {
    const auto call = call_;
    const auto end = end_;
    const auto until = until_;
    while (call->items.empty() && !call->outcome && end->exchange_.clock_.steady() < until)
      co_await call->changed.wait_until(until);
    if (call->items.empty() && !call->outcome) {
      give_up();
      settle(*call, fail(Errc::kTimeout, "{} did not answer in time", end->peer_.name));
    }
    if (!call->items.empty()) {
      std::optional<std::string> item = std::move(call->items.front());
      call->items.pop_front();
      co_return item;
    }
    if (!*call->outcome) co_return fail(call->outcome->error());
    co_return std::nullopt;
  }

 private:
  void give_up() {
    if (call_->outcome || !end_->open_) return;
    end_->outgoing_.erase(id_);
    end_->cancel(id_);
  }

  std::shared_ptr<End> end_;
  std::uint64_t id_;
  std::shared_ptr<Outgoing> call_;
  Signal::TimePoint until_ = Signal::TimePoint::max();
};

class End::CallOutflow final : public rpc::Outflow {
 public:
  CallOutflow(std::shared_ptr<End> end, std::uint64_t id, std::shared_ptr<Incoming> call)
      : end_(std::move(end)), id_(id), call_(std::move(call)) {}
  Task<void> send(std::string message) override {
    if (call_->stopped || !end_->open_) co_return fail(Errc::kCancelled, "the caller no longer listens");
    end_->item(id_, std::move(message));
    co_return Result<void>{};
  }

 private:
  std::shared_ptr<End> end_;
  std::uint64_t id_;
  std::shared_ptr<Incoming> call_;
};

Result<std::shared_ptr<rpc::Inflow>> End::open_stream(std::string method, std::string request, Deadline deadline) {
  if (!open_) return fail(Errc::kUnavailable, "{}: the connection to {} is closed", method, peer_.name);
  const auto verdict = exchange_.meet_({Moment::Kind::kRequest, self_, peer_.name, short_name(method)});
  if (!open_) return fail(Errc::kUnavailable, "{}: the connection to {} is closed", method, peer_.name);
  const auto id = begin(method, std::move(request), verdict);
  return std::make_shared<CallInflow>(shared_from_this(), id, deadline);
}

asio::awaitable<void> End::work(std::shared_ptr<End> self, std::uint64_t id, rpc::Services::Found found,
                                std::string request, std::shared_ptr<Incoming> call) {
  Result<std::string> outcome;
  try {
    rpc::Caller caller{self->peer_.name, self->peer_.role, self->weak_from_this()};
    auto& service = *found.service;
    if (const auto* unary = std::get_if<rpc::Method::Unary>(&found.method->serve)) {
      outcome = co_await (*unary)(service, std::move(caller), std::move(request));
    } else {
      const auto streaming = std::get<rpc::Method::Streaming>(found.method->serve);
      std::shared_ptr<rpc::Outflow> flow = std::make_shared<CallOutflow>(self, id, call);
      const auto ended = co_await streaming(service, std::move(caller), std::move(request), std::move(flow));
      if (!ended) outcome = fail(ended.error());
    }
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) throw;
    outcome = fail(Errc::kCancelled, "{}", error.what());
  }
  if (const auto now = self->incoming_.find(id); now != self->incoming_.end() && now->second == call)
    self->incoming_.erase(now);
  if (call->stopped) co_return;
  const auto verdict = self->exchange_.meet_(
      {Moment::Kind::kReply, self->self_, self->peer_.name, short_name(std::string(found.method->name))});
  co_await asio::post(self->executor_, asio::use_awaitable);  // as in call()
  if (self->open_) self->reply(verdict, id, std::move(outcome));
}

void Exchange::crashed(const std::string& node, Milliseconds unheard) {
  std::erase_if(listeners_, [&](const auto& entry) { return entry.second.node == node; });
  std::erase_if(ends_, [&](const auto& weak) {
    const auto end = weak.lock();
    if (!end) return true;
    if (end->self() == node) {
      end->abandon();
      return true;
    }
    if (end->peer().name == node)
      lan_.after(Lan::kWay + unheard, [weak] {
        if (const auto alive = weak.lock()) alive->closed("connection reset");
      });
    return false;
  });
}

void Exchange::silent(const std::string& a, const std::string& b) {
  for (const auto& weak : ends_)
    if (const auto end = weak.lock();
        end && ((end->self() == a && end->peer().name == b) || (end->self() == b && end->peer().name == a)))
      end->closed("nothing was heard of it");
}

Result<std::shared_ptr<rpc::Session>> LanTransport::connect(const std::string& address, const rpc::Expect& expect,
                                                            rpc::Services services,
                                                            std::function<void(const Error&)> on_closed) {
  const auto found = exchange_.listeners_.find(address);
  if (found == exchange_.listeners_.end()) return fail(Errc::kUnavailable, "{}: connection refused", address);
  const auto& listener = found->second;
  if (exchange_.lan_.parted(self_.name, listener.node)) return fail(Errc::kTimeout, "{} does not answer", address);
  if ((!expect.name.empty() && !listener.identity.answers_to(expect.name)) ||
      (expect.role != v1::ROLE_UNSPECIFIED && expect.role != listener.identity.role))
    return fail(Errc::kDenied, "{} is {}, not {}", address, listener.identity.name, expect.name);
  const auto here = std::make_shared<End>(exchange_, executor_, self_.name, listener.identity, std::move(services),
                                          std::move(on_closed));
  const auto there =
      std::make_shared<End>(exchange_, listener.executor, listener.node, self_, listener.services, nullptr);
  End::pair(here, there);
  return here;
}

struct LanTransport::Dialling {
  Dialling(const asio::any_io_executor& executor, Clock& clock) : changed(executor, clock) {}
  Signal changed;
  std::shared_ptr<rpc::Session> session;
  Error why{Errc::kUnavailable, "not connected yet", {}};
  bool stopped = false;
};

class LanTransport::LanLink final : public rpc::Link {
 public:
  LanLink(LanTransport& transport, std::string address, rpc::Expect expect, rpc::Services services,
          rpc::DialerHooks hooks)
      : state_(std::make_shared<Dialling>(transport.executor_, transport.exchange_.clock_)) {
    asio::co_spawn(transport.executor_,
                   run(transport, state_, std::move(address), std::move(expect), std::move(services), std::move(hooks)),
                   [](std::exception_ptr bug) {
                     if (bug) std::rethrow_exception(bug);
                   });
  }
  ~LanLink() override { halt(); }
  Result<std::shared_ptr<rpc::Session>> session() const override {
    if (state_->session && state_->session->is_open()) return state_->session;
    return fail(state_->why);
  }
  void stop() override { halt(); }

 private:
  void halt() {
    state_->stopped = true;
    if (state_->session) state_->session->close("no longer needed");
    state_->changed.notify();
  }
  static asio::awaitable<void> run(LanTransport& transport, std::shared_ptr<Dialling> state, std::string address,
                                   rpc::Expect expect, rpc::Services services, rpc::DialerHooks hooks) {
    auto& clock = transport.exchange_.clock_;
    Milliseconds pause = kRedial;
    while (!state->stopped) {
      const auto arrives = clock.steady() + 2 * Lan::kWay;
      while (clock.steady() < arrives) co_await state->changed.wait_until(arrives);
      if (state->stopped) break;
      auto made = transport.connect(address, expect, services, [state, hooks](const Error& why) {
        state->session.reset();
        state->why = why;
        state->changed.notify();
        if (!state->stopped && hooks.on_disconnected) hooks.on_disconnected(why);
      });
      if (made) {
        pause = kRedial;
        state->session = std::move(*made);
        if (hooks.on_connected) hooks.on_connected(state->session);
        while (state->session && !state->stopped) co_await state->changed.wait_until(Signal::TimePoint::max());
      } else {
        state->why = made.error();
      }
      const auto again = clock.steady() + pause;
      pause = std::min<Milliseconds>(pause * 2, kMostRedial);
      while (!state->stopped && clock.steady() < again) co_await state->changed.wait_until(again);
    }
  }
  std::shared_ptr<Dialling> state_;
};

class LanTransport::LanDoor final : public rpc::Door {
 public:
  LanDoor(Exchange& exchange, std::string address) : exchange_(exchange), address_(std::move(address)) {}
  asio::ip::tcp::endpoint endpoint() const override { return {}; }
  Task<void> drain(Deadline) override {
    exchange_.listeners_.erase(address_);
    co_return Result<void>{};
  }

 private:
  Exchange& exchange_;
  std::string address_;
};

std::unique_ptr<rpc::Link> LanTransport::dial(std::string address, rpc::Expect expect, rpc::Services services,
                                              rpc::DialerHooks hooks) {
  return std::make_unique<LanLink>(*this, std::move(address), std::move(expect), std::move(services), std::move(hooks));
}

Result<std::unique_ptr<rpc::Door>> LanTransport::listen(std::string address, rpc::Services services, rpc::ServerHooks) {
  exchange_.listeners_[address] = {self_.name, self_, executor_, std::move(services)};
  return std::make_unique<LanDoor>(exchange_, std::move(address));
}

}  // namespace umbra::sim
