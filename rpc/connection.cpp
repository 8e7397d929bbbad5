#include "rpc/connection.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>

#include "base/printable.hpp"
#include "base/units.hpp"

namespace umbra::rpc {
namespace {

constexpr std::size_t kMostErrorText = 2'000;  // characters
constexpr std::size_t kReadChunk = std::size_t{32} << 10;
/// Buffers grown beyond this by a large frame are given back.
constexpr std::size_t kKeptCapacity = std::size_t{1} << 20;
/// How long a peer may take to hang up after we did.
constexpr std::chrono::seconds kLinger{1};

}  // namespace

void set_status(wire::Status& status, const Error& error) {
  status.set_code(static_cast<std::uint32_t>(error.code));
  // Text that is no UTF-8 would make the whole frame unreadable for the peer.
  status.set_message(limited(error.message, kMostErrorText));
  status.set_remedy(limited(error.remedy, kMostErrorText));
}

Error error_of(const wire::Status& status) {
  const bool known = status.code() >= 1 && status.code() <= static_cast<std::uint32_t>(Errc::kInternal);
  return {known ? static_cast<Errc>(status.code()) : Errc::kInternal, status.message(), status.remedy()};
}

Error bad_frame(Errc code, std::string what) {
  return {code, std::move(what), "both ends must run the same Umbra; if they do, something else speaks to this port"};
}

Result<void> append_frame(std::string& out, const wire::Frame& frame, std::size_t max_frame) {
  const std::size_t size = frame.ByteSizeLong();
  if (size > max_frame) {
    return fail({Errc::kInvalid,
                 fmt::format("a message of {} is over the frame limit of {}", to_string(Bytes{size}),
                             to_string(Bytes{max_frame})),
                 "ask for less at once"});
  }
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
  frame.AppendToString(&out);
  return {};
}

std::size_t read_length(const char* bytes) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  return length;
}

Connection::Connection(std::unique_ptr<TlsStream> stream, std::string peer, Limits limits)
    : stream_(std::move(stream)), peer_(std::move(peer)), limits_(limits), timer_(stream_->get_executor()) {}

void Connection::start(std::weak_ptr<FrameHandler> handler) {
  handler_ = std::move(handler);
  read();
  tick();
}

Result<void> Connection::send(const wire::Frame& frame) {
  if (closing_) return {};
  UMBRA_CHECK(append_frame(queued_, frame, limits_.max_frame));
  // A peer that answers pings but reads nothing else would let the queue grow without end.
  if (queued_.size() > 4 * limits_.max_frame) {
    spdlog::warn("rpc: closing the connection to {}: it does not read its answers", peer_);
    close({Errc::kExhausted, "too many answers wait to be read", {}});
  } else if (writing_.empty()) {
    write();
  }
  return {};
}

void Connection::write() {
  writing_.swap(queued_);
  const auto bytes = asio::buffer(writing_);
  asio::async_write(*stream_, bytes,
                    [this, owner = handler_.lock()](const boost::system::error_code& error, std::size_t) {
                      writing_.clear();
                      if (writing_.capacity() > kKeptCapacity) writing_.shrink_to_fit();
                      if (error) return on_end(error);
                      if (!queued_.empty()) return write();
                      boost::system::error_code ignored;
                      if (closing_) stream_->next_layer().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
                    });
}

void Connection::read() {
  if (end_ + kReadChunk > in_.size()) {
    std::copy(in_.data() + begin_, in_.data() + end_, in_.data());
    end_ -= begin_;
    begin_ = 0;
    if (end_ == 0 && in_.size() > kKeptCapacity) in_ = {};
    if (end_ + kReadChunk > in_.size()) in_.resize(std::max(2 * in_.size(), end_ + kReadChunk));
  }
  stream_->async_read_some(asio::buffer(in_.data() + end_, in_.size() - end_),
                           [this, owner = handler_.lock()](const boost::system::error_code& error, std::size_t size) {
                             on_read(error, size);
                           });
}

void Connection::on_read(const boost::system::error_code& error, std::size_t size) {
  if (error) return on_end(error);
  if (closing_) {
    begin_ = end_ = 0;  // nobody listens any more; read on only to see the peer hang up
    return read();
  }
  heard_ = true;
  end_ += size;
  if (const auto taken = take_frames(); !taken) {
    spdlog::warn("rpc: closing the connection to {}: {}", peer_, taken.error());
    close(taken.error());
  }
  read();
}

Result<void> Connection::take_frames() {
  while (!closing_ && end_ - begin_ >= kLengthBytes) {
    const std::size_t length = read_length(in_.data() + begin_);
    if (length > limits_.max_frame) {
      return fail(
          bad_frame(Errc::kInvalid, fmt::format("received a frame of {}, the limit is {}", to_string(Bytes{length}),
                                                to_string(Bytes{limits_.max_frame}))));
    }
    if (end_ - begin_ < kLengthBytes + length) break;
    wire::Frame frame;
    if (!frame.ParseFromArray(in_.data() + begin_ + kLengthBytes, static_cast<int>(length))) {
      return fail(bad_frame(Errc::kCorrupt, fmt::format("received {} that are not a frame", to_string(Bytes{length}))));
    }
    begin_ += kLengthBytes + length;
    if (frame.has_ping()) {
      wire::Frame pong;
      pong.mutable_pong();
      UMBRA_CHECK(send(pong));
    } else if (!frame.has_pong()) {
      UMBRA_CHECK(handler_.lock()->on_frame(std::move(frame)));
    }
  }
  if (begin_ == end_) begin_ = end_ = 0;
  return {};
}

void Connection::on_end(const boost::system::error_code& error) {
  // Frames have lengths and calls have replies, so an end without TLS's close_notify cannot pass for a complete answer.
  const bool hung_up = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
  if (!closing_ && end_ > begin_) spdlog::warn("rpc: {} hung up inside a frame", peer_);
  begin_closing({Errc::kUnavailable, hung_up ? "the peer hung up" : error.message(), {}});
  close_socket();
}

void Connection::tick() {
  timer_.expires_after(limits_.keepalive);
  timer_.async_wait([this, owner = handler_.lock()](const boost::system::error_code& error) {
    if (error || closing_) return;
    // After a pause of this process the answer may already be in the socket.
    boost::system::error_code ignored;
    if (!heard_ && stream_->next_layer().available(ignored) == 0) {
      spdlog::warn("rpc: {} has been silent for {} ms, closing", peer_, limits_.keepalive.count());
      begin_closing({Errc::kUnavailable, "the peer does not answer pings", {}});
      return close_socket();
    }
    heard_ = false;
    wire::Frame ping;
    ping.mutable_ping();
    (void)send(ping);
    if (!closing_) tick();
  });
}

void Connection::close(Error why) {
  if (closing_) return;
  wire::Frame goaway;
  set_status(*goaway.mutable_goaway()->mutable_status(), why);
  (void)append_frame(queued_, goaway, limits_.max_frame);
  begin_closing(std::move(why));
  if (writing_.empty()) write();
  // Closing a socket that has unread data resets the connection, and the peer would lose the reason; so it hangs up
  // first.
  timer_.expires_after(kLinger);
  timer_.async_wait([this, owner = handler_.lock()](const boost::system::error_code&) { close_socket(); });
}

void Connection::begin_closing(Error why) {
  if (closing_) return;
  closing_ = true;
  timer_.cancel();
  asio::post(stream_->get_executor(), [handler = handler_.lock(), why = std::move(why)] { handler->on_closed(why); });
}

void Connection::close_socket() {
  timer_.cancel();
  boost::system::error_code ignored;
  stream_->next_layer().close(ignored);
}

}  // namespace umbra::rpc
