// The peer's calls to us.
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "rpc/calls.hpp"

namespace umbra::rpc {
namespace {

constexpr std::size_t kKeptRequest = std::size_t{64} << 10;

}  // namespace

Result<void> TlsSession::on_request(std::uint64_t id, wire::Request request) {
  if (id <= last_incoming_)
    return fail(bad_frame(Errc::kInvalid, fmt::format("received call number {} after {}", id, last_incoming_)));
  last_incoming_ = id;
  auto admitted = admit(id, request);
  if (!admitted) {
    const auto named = services_.find(request.method());
    tell_failure(request.method(), named ? named->method : nullptr, request.body(), admitted.error());
    reply(id, fail(admitted.error()));
    return {};
  }
  const auto& call = *admitted;
  if (services_.on_failure() != nullptr && request.body().size() <= kKeptRequest) call->request = request.body();
  if (request.deadline_ms() > 0) {
    constexpr std::uint64_t kDay = 24 * 3600 * 1000;
    call->deadline.expires_after(Deadline(static_cast<Deadline::rep>(std::min(request.deadline_ms(), 365 * kDay))));
    call->deadline.async_wait([self = shared_from_this(), call](const boost::system::error_code& error) {
      if (!error) self->stop(call, Errc::kTimeout);
    });
  }
  incoming_.emplace(id, call);
  // The completion keeps alive what the coroutine uses: the session, and the slot in `call`.
  asio::co_spawn(connection_.executor(), serve(call, std::move(*request.mutable_body())),
                 asio::bind_cancellation_slot(call->cancel.slot(),
                                              [self = shared_from_this(), call](const std::exception_ptr&) {}));
  return {};
}

Result<std::shared_ptr<TlsSession::Incoming>> TlsSession::admit(std::uint64_t id, const wire::Request& request) {
  if (draining_) return fail(Errc::kUnavailable, "{}: this node is shutting down", request.method());
  UMBRA_TRY(auto found, services_.find(request.method()));
  UMBRA_CHECK(Services::check_role(*found.method, peer_.name, peer_.role));
  const bool streams = std::holds_alternative<Method::Streaming>(found.method->serve);
  if (streams != (request.window_bytes() > 0)) {
    return fail({Errc::kUnsupported,
                 fmt::format("{} {} here", request.method(), streams ? "replies with a stream" : "replies once"),
                 "install the same version on both ends"});
  }
  if (incoming_.size() >= limits_.max_calls) {
    return fail(
        {Errc::kExhausted,
         fmt::format("{}: {} calls of {} are being served already", request.method(), incoming_.size(), peer_.name),
         "wait for some to end"});
  }
  const auto window = std::min<std::uint64_t>(request.window_bytes(), limits_.max_frame);
  return std::make_shared<Incoming>(connection_.executor(), id, std::move(found), window);
}

asio::awaitable<void> TlsSession::serve(std::shared_ptr<Incoming> call, std::string request) {
  Result<std::string> outcome;
  try {
    Caller caller{peer_.name, peer_.role, weak_from_this()};
    caller.address = address_;
    caller.method = call->found.method->name;
    auto& service = *call->found.service;
    if (const auto* unary = std::get_if<Method::Unary>(&call->found.method->serve)) {
      outcome = co_await (*unary)(service, std::move(caller), std::move(request));
    } else {
      const auto streaming = std::get<Method::Streaming>(call->found.method->serve);
      std::shared_ptr<Outflow> flow = std::make_shared<CallOutflow>(shared_from_this(), call);
      const auto ended = co_await streaming(service, std::move(caller), std::move(request), std::move(flow));
      if (!ended) outcome = fail(ended.error());
    }
  } catch (const boost::system::system_error& error) {
    const bool cancelled = error.code() == asio::error::operation_aborted;
    outcome = fail(cancelled ? Errc::kCancelled : Errc::kInternal, "{}: {}", call->found.method->name, error.what());
  } catch (const std::exception& error) {
    outcome = fail(Errc::kInternal, "{}: {}", call->found.method->name, error.what());
  }
  finish(*call, std::move(outcome));
}

void TlsSession::stop(const std::shared_ptr<Incoming>& call, Errc why) {
  if (call->stopped || call->finished) return;
  call->stopped = why;
  // Posted, because the handler itself may be what leads here.
  asio::post(connection_.executor(), [call] {
    call->readable.cancel();
    call->cancel.emit(asio::cancellation_type::terminal);
  });
}

void TlsSession::finish(Incoming& call, Result<std::string> outcome) {
  call.finished = true;
  call.deadline.cancel();
  incoming_.erase(call.id);
  if (!outcome && outcome.error().code == Errc::kInternal)
    spdlog::error("rpc: {} called by {}: {}", call.found.method->name, peer_.name, outcome.error());
  if (!outcome && (!call.stopped || call.stopped == Errc::kTimeout))
    tell_failure(call.found.method->name, call.found.method, call.request, outcome.error());
  if (call.stopped == Errc::kTimeout && !outcome) {
    outcome = fail(Errc::kTimeout, "{}: stopped at the caller's deadline: {}", call.found.method->name,
                   outcome.error().message);
  }
  if (!call.stopped || call.stopped == Errc::kTimeout) reply(call.id, std::move(outcome));
  wake_drain();
}

void TlsSession::tell_failure(std::string_view name, const Method* method, std::string_view request,
                              const Error& error) {
  const auto* tell = services_.on_failure();
  if (tell == nullptr) return;
  if (request.size() > kKeptRequest) request = {};
  (*tell)({peer_, address_, name, method, request, error});
}

void TlsSession::reply(std::uint64_t id, Result<std::string> outcome) {
  wire::Frame frame;
  frame.set_call(id);
  auto& wired = *frame.mutable_reply();
  if (outcome) {
    wired.set_body(std::move(*outcome));
  } else {
    set_status(*wired.mutable_status(), outcome.error());
  }
  const auto sent = connection_.send(frame);
  if (!sent) reply(id, fail(sent.error()));  // too large; an error's text never is
}

Task<void> TlsSession::CallOutflow::send(std::string message) {
  const auto session = session_;
  const auto call = call_;
  while (call->credit <= 0 && !call->stopped && !call->finished) {
    (void)co_await call->readable.async_wait(asio::as_tuple(asio::use_awaitable));
    if (call->credit <= 0 && !call->stopped) break;  // this coroutine was cancelled by its own owner
  }
  if (call->credit <= 0 || call->stopped || call->finished) {
    co_return fail(call->stopped.value_or(Errc::kCancelled), "{}: the caller no longer listens",
                   call->found.method->name);
  }
  const auto taken = cost(message);
  wire::Frame frame;
  frame.set_call(call->id);
  frame.mutable_item()->set_body(std::move(message));
  UMBRA_CO_CHECK(session->connection_.send(frame));
  call->credit -= static_cast<std::int64_t>(taken);
  co_return Result<void>{};
}

}  // namespace umbra::rpc
