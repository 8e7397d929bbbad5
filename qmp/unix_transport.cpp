#include "qmp/unix_transport.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <deque>

#include "base/one_shot.hpp"
#include "qmp/codec.hpp"

namespace umbra::qmp {
namespace json = boost::json;
using Socket = asio::local::stream_protocol::socket;
using Answer = OneShot<json::value>;

namespace {
constexpr std::size_t kLongestLine = 16U << 20;  // the largest answer, query-qmp-schema, has a few hundred KiB
}

/// The socket and who waits on it. Kept alive by its own operations until closed.
class UnixTransport::Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket)
      : socket_(std::move(socket)), greeted(std::make_shared<OneShot<Greeting>>(socket_.get_executor())) {}

  void start() { read(); }

  Task<json::value> execute(std::string command, json::object arguments, Deadline deadline) {
    if (end_) co_return fail(*end_);
    const auto self = shared_from_this();
    const auto id = next_id_++;
    const auto answer = std::make_shared<Answer>(socket_.get_executor());
    waiting_.emplace(id, answer);
    send(encode_command(command, arguments, id) + "\n");
    auto result = co_await Answer::wait(answer, deadline);
    waiting_.erase(id);
    co_return result;
  }

  void close(Error reason) {
    if (end_) return;
    end_ = std::move(reason);
    boost::system::error_code ignored;
    socket_.close(ignored);
    greeted->deliver(fail(*end_));
    for (const auto& [id, answer] : waiting_) answer->deliver(fail(*end_));
  }

 private:
  void read() {
    asio::async_read_until(socket_, asio::dynamic_buffer(input_, kLongestLine), '\n',
                           [self = shared_from_this()](boost::system::error_code error, std::size_t size) {
                             if (self->end_) return;
                             if (error) return self->close(self->lost(error));
                             const auto line = self->input_.substr(0, size);
                             self->input_.erase(0, size);
                             self->take(line);
                             if (!self->end_) self->read();
                           });
  }

  void take(std::string_view line) {
    auto message = parse_message(line);
    if (!message) return close(std::move(message).error());
    if (auto* event = std::get_if<Event>(&*message)) {
      if (handler) handler(*event);
    } else if (auto* reply = std::get_if<Reply>(&*message)) {
      if (!reply->id) return close({Errc::kCorrupt, "QMP: a reply that names no command", "check the emulator"});
      // An id that nobody waits for belongs to a command whose deadline has passed.
      if (const auto found = waiting_.find(*reply->id); found != waiting_.end())
        found->second->deliver(std::move(reply->result));
    } else {
      greeted->deliver(std::get<Greeting>(*message));
    }
  }

  void send(std::string text) {
    output_.push_back(std::move(text));
    if (output_.size() == 1) write();
  }

  void write() {
    asio::async_write(socket_, asio::buffer(output_.front()),
                      [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                        if (self->end_) return;
                        if (error) return self->close(self->lost(error));
                        self->output_.pop_front();
                        if (!self->output_.empty()) self->write();
                      });
  }

  static Error lost(boost::system::error_code error) {
    if (error == asio::error::not_found)
      return {Errc::kCorrupt, "QMP: a line of more than 16 MiB", "check the emulator"};
    return {Errc::kUnavailable, fmt::format("QEMU's monitor is gone: {}", error.message()), "see QEMU's log"};
  }

  Socket socket_;
  std::string input_;
  std::deque<std::string> output_;
  std::map<std::uint64_t, std::shared_ptr<Answer>> waiting_;
  std::uint64_t next_id_ = 1;
  std::optional<Error> end_;

 public:
  EventHandler handler;
  std::shared_ptr<OneShot<Greeting>> greeted;
};

Task<std::shared_ptr<UnixTransport>> UnixTransport::connect(std::string path, Deadline deadline) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    co_return fail({Errc::kInvalid, fmt::format("{}: too long for a socket's path", path), "use a shorter directory"});
  Socket socket(co_await asio::this_coro::executor);
  const asio::local::stream_protocol::endpoint endpoint(path);
  // A local connect never waits for the peer, except for a full backlog; then it fails at once.
  const auto [error] = co_await socket.async_connect(endpoint, asio::as_tuple(asio::use_awaitable));
  if (error)
    co_return fail({Errc::kUnavailable, fmt::format("{}: {}", path, error.message()), "is that QEMU running?"});
  co_return co_await negotiate(std::make_shared<Session>(std::move(socket)), deadline);
}

Task<std::shared_ptr<UnixTransport>> UnixTransport::adopt(int descriptor, Deadline deadline) {
  Socket socket(co_await asio::this_coro::executor);
  boost::system::error_code error;
  socket.assign(asio::local::stream_protocol(), descriptor, error);
  if (error) {
    ::close(descriptor);
    co_return fail(Errc::kInternal, "cannot use the monitor's socket: {}", error.message());
  }
  co_return co_await negotiate(std::make_shared<Session>(std::move(socket)), deadline);
}

Task<std::shared_ptr<UnixTransport>> UnixTransport::negotiate(std::shared_ptr<Session> session, Deadline deadline) {
  const std::shared_ptr<UnixTransport> transport(new UnixTransport(session));  // closes the session on every way out
  session->start();
  const auto until = std::chrono::steady_clock::now() + deadline;
  auto greeting = co_await OneShot<Greeting>::wait(session->greeted, deadline);
  if (!greeting) co_return fail(with_context(std::move(greeting).error(), "waiting for QEMU's greeting"));
  json::object none;
  const auto left = std::chrono::duration_cast<Deadline>(until - std::chrono::steady_clock::now());
  auto agreed = co_await session->execute("qmp_capabilities", none, left);
  if (!agreed) co_return fail(with_context(std::move(agreed).error(), "qmp_capabilities"));
  co_return transport;
}

UnixTransport::~UnixTransport() {
  session_->close({Errc::kCancelled, "the monitor was closed by us", {}});
}

Task<json::value> UnixTransport::execute(std::string command, json::object arguments, Deadline deadline) {
  const auto session = session_;
  co_return co_await session->execute(std::move(command), std::move(arguments), deadline);
}

void UnixTransport::on_event(EventHandler handler) {
  session_->handler = std::move(handler);
}

}  // namespace umbra::qmp
