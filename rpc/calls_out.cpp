// Our calls to the peer.
#include <boost/asio/as_tuple.hpp>

#include "rpc/calls.hpp"

namespace umbra::rpc {
namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

}  // namespace

Task<std::string> TlsSession::call(std::string method, std::string request, Deadline deadline) {
  const auto self = shared_from_this();
  UMBRA_CO_TRY(const auto call, begin(std::move(method), std::move(request), deadline, 0));
  (void)co_await call->wake.async_wait(kNoThrow);
  if (!call->outcome) give_up(*call);
  co_return std::move(*call->outcome);
}

Result<std::shared_ptr<Inflow>> TlsSession::open_stream(std::string method, std::string request, Deadline deadline) {
  UMBRA_TRY(auto call, begin(std::move(method), std::move(request), deadline, limits_.window));
  return std::make_shared<CallInflow>(shared_from_this(), std::move(call));
}

Result<std::shared_ptr<TlsSession::Outgoing>> TlsSession::begin(std::string method, std::string request,
                                                                Deadline deadline, std::size_t window) {
  if (!is_open()) return fail(gone(method));
  if (deadline <= Deadline::zero()) return fail(Errc::kTimeout, "{}: no time left to call {}", method, peer_.name);
  const auto id = last_outgoing_ + 1;
  wire::Frame frame;
  frame.set_call(id);
  auto& wired = *frame.mutable_request();
  wired.set_method(method);
  wired.set_body(std::move(request));
  wired.set_window_bytes(window);
  if (deadline != kNoDeadline) wired.set_deadline_ms(static_cast<std::uint64_t>(deadline.count()));
  if (const auto sent = connection_.send(frame); !sent) return fail(with_context(sent.error(), method));
  if (!is_open()) return fail(gone(method));

  last_outgoing_ = id;
  auto call = std::make_shared<Outgoing>(connection_.executor(), id, std::move(method));
  if (deadline == kNoDeadline) {
    call->wake.expires_at(asio::steady_timer::time_point::max());
  } else {
    call->wake.expires_after(deadline);
  }
  outgoing_.emplace(id, call);
  return call;
}

Result<void> TlsSession::on_reply(std::uint64_t id, wire::Reply reply) {
  if (id > last_outgoing_) return fail(bad_frame(Errc::kInvalid, "received a reply to a call that was never made"));
  const auto found = outgoing_.find(id);
  if (found == outgoing_.end()) return {};  // given up in the meantime
  const auto call = found->second;
  outgoing_.erase(found);
  if (reply.status().code() == 0) {
    settle(*call, std::move(*reply.mutable_body()));
  } else {
    settle(*call, fail(error_of(reply.status())));
  }
  wake_drain();
  return {};
}

Result<void> TlsSession::on_item(std::uint64_t id, wire::Item item) {
  if (id > last_outgoing_) return fail(bad_frame(Errc::kInvalid, "received an item of a call that was never made"));
  const auto found = outgoing_.find(id);
  if (found == outgoing_.end()) return {};
  auto& call = *found->second;
  call.unread += cost(item.body());
  // The sender may overdraw its credit by one item.
  if (call.unread > limits_.window + cost({}) + limits_.max_frame)
    return fail(bad_frame(Errc::kInvalid, fmt::format("{}: received more than the window", call.method)));
  call.items.push_back(std::move(*item.mutable_body()));
  call.wake.cancel();
  return {};
}

void TlsSession::settle(Outgoing& call, Result<std::string> outcome) {
  call.outcome = std::move(outcome);
  call.wake.cancel();
}

void TlsSession::give_up(Outgoing& call) {
  const bool late = std::chrono::steady_clock::now() >= call.wake.expiry();
  settle(call, late ? fail({Errc::kTimeout, fmt::format("{}: {} did not answer in time", call.method, peer_.name),
                            "the outcome is unknown; ask before repeating the call"})
                    : fail(Errc::kCancelled, "{}: given up by the caller", call.method));
  if (outgoing_.erase(call.id) == 0) return;
  wire::Frame cancel;
  cancel.set_call(call.id);
  cancel.mutable_cancel();
  (void)connection_.send(cancel);
  wake_drain();
}

TlsSession::CallInflow::~CallInflow() {
  if (!call_->outcome) session_->give_up(*call_);
}

Task<std::optional<std::string>> TlsSession::CallInflow::next() {
  const auto session = session_;
  const auto call = call_;
  if (call->items.empty() && !call->outcome) (void)co_await call->wake.async_wait(kNoThrow);
  if (!call->items.empty()) co_return take();
  if (!call->outcome) session->give_up(*call);
  if (!*call->outcome) co_return fail(call->outcome->error());
  co_return std::nullopt;
}

std::string TlsSession::CallInflow::take() {
  auto item = std::move(call_->items.front());
  call_->items.pop_front();
  call_->unread -= cost(item);
  call_->to_grant += cost(item);
  if (call_->to_grant < session_->limits_.window / 2 || call_->outcome) return item;
  wire::Frame credit;
  credit.set_call(call_->id);
  credit.mutable_credit()->set_bytes(std::exchange(call_->to_grant, 0));
  (void)session_->connection_.send(credit);
  return item;
}

}  // namespace umbra::rpc
