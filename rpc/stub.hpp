/// What the code written by protoc-gen-umbra is made of; application code meets Sink and Stream.
#pragma once

#include "rpc/service.hpp"

namespace umbra::rpc {

/// Serialised message → Message. @error kCorrupt
template <class Message>
Result<Message> parse_as(std::string_view bytes) {
  Message message;
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return message;
  return fail({Errc::kCorrupt, fmt::format("received bytes are not a valid {}", Message::descriptor()->full_name()),
               "install the same version on both ends"});
}

/// Where a streaming method writes its replies. Cheap to copy; Outflow states threads and errors.
template <class Message>
class Sink {
 public:
  explicit Sink(std::shared_ptr<Outflow> flow) : flow_(std::move(flow)) {}
  Task<void> send(Message message) { return flow_->send(message.SerializeAsString()); }

 private:
  std::shared_ptr<Outflow> flow_;
};

/// The replies of a streaming call. Dropping the last copy cancels the call; Inflow states errors.
template <class Message>
class Stream {
 public:
  Stream() = default;
  explicit Stream(std::shared_ptr<Inflow> flow) : flow_(std::move(flow)) {}

  /// The next message, nullopt after the last. One coroutine at a time.
  Task<std::optional<Message>> next() { return next(flow_); }

 private:
  static Task<std::optional<Message>> next(std::shared_ptr<Inflow> flow) {
    UMBRA_CO_TRY(auto bytes, co_await flow->next());
    if (!bytes) co_return std::nullopt;
    UMBRA_CO_TRY(auto message, parse_as<Message>(*bytes));
    co_return std::optional<Message>(std::move(message));
  }

  std::shared_ptr<Inflow> flow_;
};

template <class S, class Request, class Reply, Task<Reply> (S::*method)(Caller, Request)>
Task<std::string> serve_unary(Service& service, Caller caller, std::string bytes) {
  UMBRA_CO_TRY(auto request, parse_as<Request>(bytes));
  UMBRA_CO_TRY(auto reply, co_await (static_cast<S&>(service).*method)(std::move(caller), std::move(request)));
  co_return reply.SerializeAsString();
}

template <class S, class Request, class Reply, Task<void> (S::*method)(Caller, Request, Sink<Reply>)>
Task<void> serve_streaming(Service& service, Caller caller, std::string bytes, std::shared_ptr<Outflow> flow) {
  UMBRA_CO_TRY(auto request, parse_as<Request>(bytes));
  Sink<Reply> sink(std::move(flow));
  co_return co_await (static_cast<S&>(service).*method)(std::move(caller), std::move(request), std::move(sink));
}

template <class Reply>
Task<Reply> call_unary(std::shared_ptr<Session> session, std::string method, std::string request, Deadline deadline) {
  UMBRA_CO_TRY(auto bytes, co_await session->call(std::move(method), std::move(request), deadline));
  co_return parse_as<Reply>(bytes);
}

template <class Reply>
Task<Stream<Reply>> call_streaming(std::shared_ptr<Session> session, std::string method, std::string request,
                                   Deadline deadline) {
  UMBRA_CO_TRY(auto flow, session->open_stream(std::move(method), std::move(request), deadline));
  co_return Stream<Reply>(std::move(flow));
}

}  // namespace umbra::rpc
