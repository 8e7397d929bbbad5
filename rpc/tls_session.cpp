// A session's frame of mind: start, dispatch of frames, and the end. calls_out.cpp and calls_in.cpp hold the two
// directions.
#include "rpc/tls_session.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>

#include "rpc/calls.hpp"

namespace umbra::rpc {

std::shared_ptr<TlsSession> TlsSession::start(Opened opened, std::string address, Services services, Limits limits,
                                              OnClosed on_closed) {
  std::shared_ptr<TlsSession> session(
      new TlsSession(std::move(opened), std::move(address), std::move(services), limits, std::move(on_closed)));
  session->watched_ = session->tls_.on_reload([weak = session->weak_from_this()] {
    const auto self = weak.lock();
    if (self) asio::post(self->connection_.executor(), [self] { self->check_peer(); });
  });
  session->connection_.start(std::shared_ptr<FrameHandler>(session, static_cast<FrameHandler*>(session.get())));
  session->check_peer();  // the handshake may have begun before the last reload
  return session;
}

TlsSession::TlsSession(Opened opened, std::string address, Services services, Limits limits, OnClosed on_closed)
    : peer_(std::move(opened.peer)),
      certificate_(std::move(opened.certificate)),
      tls_(std::move(opened.tls)),
      address_(std::move(address)),
      services_(std::move(services)),
      limits_(limits),
      connection_(std::move(opened.stream), fmt::format("{} ({}, {})", peer_.name, role_name(peer_.role), address_),
                  limits),
      on_closed_(std::move(on_closed)),
      drained_(connection_.executor()) {}

Result<void> TlsSession::on_frame(wire::Frame frame) {
  const auto id = frame.call();
  switch (frame.kind_case()) {
    case wire::Frame::kRequest:
      return on_request(id, std::move(*frame.mutable_request()));
    case wire::Frame::kReply:
      return on_reply(id, std::move(*frame.mutable_reply()));
    case wire::Frame::kItem:
      return on_item(id, std::move(*frame.mutable_item()));
    case wire::Frame::kCancel:
      if (const auto call = incoming_.find(id); call != incoming_.end()) stop(call->second, Errc::kCancelled);
      return {};
    case wire::Frame::kCredit:
      if (const auto call = incoming_.find(id); call != incoming_.end()) {
        // No honest reader grants more than it was sent, so this also keeps the sum from overflowing.
        if (frame.credit().bytes() > limits_.max_frame * 2)
          return fail(bad_frame(Errc::kInvalid, fmt::format("received a credit of {} bytes", frame.credit().bytes())));
        call->second->credit += static_cast<std::int64_t>(frame.credit().bytes());
        call->second->readable.cancel();
      }
      return {};
    case wire::Frame::kGoaway:
      peer_leaves_ = true;
      farewell_ = frame.goaway().status().message();
      return {};
    default:
      return fail(bad_frame(Errc::kInvalid, "received a frame of no known kind"));
  }
}

void TlsSession::on_closed(const Error& why) {
  if (farewell_.empty()) farewell_ = why.message;
  for (auto calls = std::exchange(outgoing_, {}); const auto& [id, call] : calls)
    settle(*call, fail(gone(call->method)));
  for (auto calls = incoming_; const auto& [id, call] : calls) stop(call, Errc::kUnavailable);
  wake_drain();
  if (const auto tell = std::exchange(on_closed_, nullptr)) tell({why.code, farewell_, why.remedy});
}

Error TlsSession::gone(std::string_view method) const {
  return {Errc::kUnavailable,
          fmt::format("{}: the connection to {} is closed: {}", method, connection_.peer(), farewell_),
          "the outcome of calls in flight is unknown; ask before repeating them"};
}

void TlsSession::close(std::string_view why) {
  if (farewell_.empty()) farewell_ = why;
  connection_.close({Errc::kUnavailable, std::string(why), {}});
}

Task<void> TlsSession::drain(Deadline grace) {
  const auto self = shared_from_this();
  if (!connection_.is_open()) co_return Result<void>{};
  draining_ = true;
  wire::Frame goaway;
  goaway.mutable_goaway()->mutable_status()->set_message("it is shutting down");
  (void)connection_.send(goaway);
  drained_.expires_after(grace);
  if (!outgoing_.empty() || !incoming_.empty()) (void)co_await drained_.async_wait(asio::as_tuple(asio::use_awaitable));
  close("shutting down");
  co_return Result<void>{};
}

void TlsSession::check_peer() {
  if (!connection_.is_open()) return;
  const auto believed = tls_.check_peer(*certificate_);
  if (believed) return;
  spdlog::warn("rpc: closing the connection to {}: {}", connection_.peer(), believed.error());
  close(fmt::format("{} is not accepted any more: {}", peer_.name, believed.error().message));
}

void TlsSession::wake_drain() {
  if (outgoing_.empty() && incoming_.empty()) drained_.cancel();
}

}  // namespace umbra::rpc
