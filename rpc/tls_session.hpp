/// Session over a TLS connection: numbers calls, matches replies, serves the peer's calls.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <deque>
#include <unordered_map>

#include "rpc/connection.hpp"
#include "rpc/opening.hpp"
#include "rpc/service.hpp"

namespace umbra::rpc {

class TlsSession final : public Session, private FrameHandler, public std::enable_shared_from_this<TlsSession> {
 public:
  using OnClosed = std::function<void(const Error& why)>;

  /// A session that is served from now on. `on_closed` is called once, after the last call failed.
  static std::shared_ptr<TlsSession> start(Opened opened, std::string address, Services services, Limits limits,
                                           OnClosed on_closed);

  const Identity& peer() const override { return peer_; }
  const std::string& address() const override { return address_; }
  bool is_open() const override { return connection_.is_open() && !draining_ && !peer_leaves_; }
  Task<std::string> call(std::string method, std::string request, Deadline deadline) override;
  Result<std::shared_ptr<Inflow>> open_stream(std::string method, std::string request, Deadline deadline) override;
  Task<void> drain(Deadline grace) override;
  void close(std::string_view why) override;

 private:
  struct Outgoing;
  struct Incoming;
  class CallInflow;
  class CallOutflow;

  TlsSession(Opened opened, std::string address, Services services, Limits limits, OnClosed on_closed);

  Result<void> on_frame(wire::Frame frame) override;
  void on_closed(const Error& why) override;

  // Our calls.
  Result<std::shared_ptr<Outgoing>> begin(std::string method, std::string request, Deadline deadline,
                                          std::size_t window);
  Result<void> on_reply(std::uint64_t id, wire::Reply reply);
  Result<void> on_item(std::uint64_t id, wire::Item item);
  /// Ends a call without an answer: its deadline passed, or its caller went.
  void give_up(Outgoing& call);
  void settle(Outgoing& call, Result<std::string> outcome);
  Error gone(std::string_view method) const;

  // The peer's calls.
  Result<void> on_request(std::uint64_t id, wire::Request request);
  Result<std::shared_ptr<Incoming>> admit(std::uint64_t id, const wire::Request& request);
  asio::awaitable<void> serve(std::shared_ptr<Incoming> call, std::string request);
  void stop(const std::shared_ptr<Incoming>& call, Errc why);
  void finish(Incoming& call, Result<std::string> outcome);
  void reply(std::uint64_t id, Result<std::string> outcome);
  void tell_failure(std::string_view name, const Method* method, std::string_view request, const Error& error);

  void wake_drain();
  /// Our CAs or revocation lists have changed: closes when the peer is not believed any more.
  void check_peer();

  const Identity peer_;
  const x509::Certificate certificate_;  ///< the peer's
  const Tls tls_;                        ///< ours
  std::shared_ptr<const void> watched_;  ///< tls_'s word of reloads
  const std::string address_;
  const Services services_;
  const Limits limits_;
  Connection connection_;
  OnClosed on_closed_;

  std::unordered_map<std::uint64_t, std::shared_ptr<Outgoing>> outgoing_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Incoming>> incoming_;
  std::uint64_t last_outgoing_ = 0;
  std::uint64_t last_incoming_ = 0;
  asio::steady_timer drained_;
  bool draining_ = false;
  bool peer_leaves_ = false;
  std::string farewell_;  ///< why the peer closes, in its own words
};

}  // namespace umbra::rpc
