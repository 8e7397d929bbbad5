/// The server side of echo.proto, and a coroutine runner, shared by the tests of rpc/.
#pragma once

#include <gtest/gtest.h>

#include "rpc/dialer.hpp"
#include "rpc/fakes/test_fleet.hpp"
#include "rpc/server.hpp"
#include "rpc/tests/echo.rpc.hpp"

namespace umbra::rpc::test {

using namespace std::chrono_literals;

inline Text text(std::string content) {
  Text message;
  message.set_text(std::move(content));
  return message;
}

/// The value of a task that must succeed. (GoogleTest's ASSERT_ returns, which a coroutine cannot.)
template <class T>
asio::awaitable<T> get(Task<T> task) {
  auto result = co_await std::move(task);
  if (!result) throw std::runtime_error("expected success, got: " + result.error().text());
  if constexpr (!std::is_void_v<T>) co_return std::move(*result);
}

/// The error of a task that must fail.
template <class T>
asio::awaitable<Error> get_error(Task<T> task) {
  auto result = co_await std::move(task);
  if (result) throw std::runtime_error("expected an error, got success");
  co_return result.error();
}

class EchoServer final : public EchoService {
 public:
  Task<Text> say(Caller caller, Text request) override {
    last_caller = caller.name;
    ++said;
    co_return request;
  }
  Task<Text> fail(Caller, Failure request) override {
    if (request.by_exception()) throw std::runtime_error(request.message());
    co_return umbra::fail({static_cast<Errc>(request.code()), request.message(), request.remedy()});
  }
  Task<Text> wait_for_cancel(Caller, Text request) override {
    ++waiting;
    asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
    try {
      co_await never.async_wait(asio::use_awaitable);
    } catch (const boost::system::system_error&) {
      --waiting;
      ++cancelled;
      throw;
    }
    co_return request;
  }
  Task<Text> call_back(Caller caller, Text request) override {
    const auto session = caller.session.lock();
    if (!session) co_return umbra::fail(Errc::kUnavailable, "the caller has gone");
    EchoClient client(session);
    co_return co_await client.say(std::move(request), 5s);
  }
  Task<void> count(Caller, CountRequest request, Sink<Text> sink) override {
    for (std::uint32_t i = 0; i < request.items(); ++i) {
      auto item = text(std::string(request.item_bytes(), static_cast<char>('a' + i % 26)));
      auto sent_item = co_await sink.send(std::move(item));
      if (!sent_item) {
        sink_error = sent_item.error();
        co_return umbra::fail(sent_item.error());
      }
      ++sent;
    }
    if (request.fail_at_end()) co_return umbra::fail({Errc::kConflict, "ran into a wall", "walk around it"});
    co_return Result<void>{};
  }
  Task<Text> admins_only(Caller, Text request) override { co_return request; }
  Task<Text> delete_(Caller, Text request) override { co_return request; }

  std::string last_caller;
  int said = 0;
  int waiting = 0;
  int cancelled = 0;
  std::uint32_t sent = 0;
  std::optional<Error> sink_error;
};

/// A server and what a test needs to reach it, on one io_context that the test drives.
class RpcTest : public testing::Test {
 protected:
  /// Runs a coroutine to its end. A test that hangs is ended by ctest's time limit.
  void run(std::function<asio::awaitable<void>()> body) {
    bool done = false;
    std::exception_ptr failure;
    asio::co_spawn(io, body(), [&](std::exception_ptr error) {
      failure = error;
      done = true;
    });
    while (!done) io.run_one();
    if (failure) std::rethrow_exception(failure);
  }
  /// Lets the loop turn until something has come true.
  asio::awaitable<void> until(std::function<bool()> condition) {
    asio::steady_timer pause(io);
    while (!condition()) {
      pause.expires_after(1ms);
      co_await pause.async_wait(asio::use_awaitable);
    }
  }
  void listen(Limits limits = {}, std::uint16_t port = 0) {
    auto listening = Server::listen(io.get_executor(), {asio::ip::make_address("127.0.0.1"), port}, controller,
                                    Services{echo}, hooks, limits);
    ASSERT_TRUE(listening) << listening.error().text();
    server = std::move(*listening);
    address = fmt::format("127.0.0.1:{}", server->endpoint().port());
  }
  Task<std::shared_ptr<Session>> dial(Tls as, Services services = {}, Limits limits = {}) {
    return connect(io.get_executor(), address, std::move(as), Expect{"controller1", v1::ROLE_CONTROLLER},
                   std::move(services), 5s, limits);
  }

  asio::io_context io{1};
  TestFleet fleet;
  Tls controller = fleet.node(v1::ROLE_CONTROLLER, "controller1");
  Tls host1 = fleet.node(v1::ROLE_AGENT, "host1");
  std::shared_ptr<EchoServer> echo = std::make_shared<EchoServer>();
  ServerHooks hooks;
  std::unique_ptr<Server> server;
  std::string address;
};

}  // namespace umbra::rpc::test
