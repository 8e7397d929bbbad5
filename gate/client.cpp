#include "gate/client.hpp"

#include <sys/un.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <map>

#include "base/one_shot.hpp"
#include "gate/frame.hpp"

namespace umbra::gate {
namespace {

using Socket = asio::local::stream_protocol::socket;
using Answer = OneShot<v1::GateStatus>;
constexpr std::size_t kChunk = 16U << 10;

}  // namespace

/// The socket and who waits on it. Kept alive by its own operations until closed.
class Client::Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket) : socket_(std::move(socket)), chunk_(kChunk, '\0') {}

  void read() {
    socket_.async_read_some(asio::buffer(chunk_), [self = shared_from_this()](auto error, std::size_t count) {
      if (!self->gone.empty()) return;
      if (error) return self->close("the gate is gone: " + error.message());
      self->input_.append(self->chunk_, 0, count);
      for (;;) {
        v1::GateStatus status;
        const auto taken = take_frame(self->input_, status);
        if (!taken) return self->close(taken.error().message);
        if (!*taken) break;
        self->take(status);
      }
      if (self->gone.empty()) self->read();
    });
  }

  std::shared_ptr<Answer> send(v1::GateCommand command) {
    const auto answer = std::make_shared<Answer>(socket_.get_executor());
    if (!gone.empty()) {
      answer->deliver(fail(Errc::kUnavailable, "{}", gone));
      return answer;
    }
    command.set_id(++last_id_);
    waiting_.emplace(last_id_, answer);
    output_.push_back(frame_of(command));
    if (output_.size() == 1) write();
    return answer;
  }
  void forget(const std::shared_ptr<Answer>& answer) {
    std::erase_if(waiting_, [&](const auto& one) { return one.second == answer; });
  }

  void close(std::string why) {
    if (!gone.empty()) return;
    gone = std::move(why);
    boost::system::error_code ignored;
    socket_.close(ignored);
    for (const auto& [id, answer] : std::exchange(waiting_, {})) answer->deliver(fail(Errc::kUnavailable, "{}", gone));
    v1::GateStatus status;
    status.set_ended(gone);
    if (const auto tell = handler) tell(status);
  }

  OnStatus handler;
  std::string gone;

 private:
  void take(const v1::GateStatus& status) {
    if (status.id() == 0) {
      if (!status.ended().empty()) return close(status.ended());
      if (const auto tell = handler) tell(status);
      return;
    }
    const auto found = waiting_.find(status.id());
    if (found == waiting_.end()) return;
    const auto answer = found->second;
    waiting_.erase(found);
    if (status.refusal().empty())
      answer->deliver(status);
    else
      answer->deliver(fail(Errc::kConflict, "{}", status.refusal()));
  }
  void write() {
    asio::async_write(socket_, asio::buffer(output_.front()), [self = shared_from_this()](auto error, std::size_t) {
      if (!self->gone.empty()) return;
      if (error) return self->close("the gate is gone: " + error.message());
      self->output_.pop_front();
      if (!self->output_.empty()) self->write();
    });
  }

  Socket socket_;
  std::string chunk_, input_;
  std::deque<std::string> output_;
  std::map<std::uint64_t, std::shared_ptr<Answer>> waiting_;
  std::uint64_t last_id_ = 0;
};

Task<std::shared_ptr<Client>> Client::connect(std::string path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    co_return fail({Errc::kInvalid, fmt::format("{}: too long for a socket's path", path), "use a shorter directory"});
  Socket socket(co_await asio::this_coro::executor);
  const asio::local::stream_protocol::endpoint endpoint(path);
  boost::system::error_code error;
  socket.connect(endpoint, error);  // a local connect never waits for the peer
  if (error) co_return fail(Errc::kUnavailable, "{}: {}", path, error.message());
  const auto session = std::make_shared<Session>(std::move(socket));
  session->read();
  co_return std::shared_ptr<Client>(new Client(session));
}

Client::~Client() {
  session_->handler = {};
  session_->close("closed by us");
}

Task<v1::GateStatus> Client::ask(v1::GateCommand command, Deadline deadline) {
  const auto session = session_;
  const auto answer = session->send(std::move(command));
  auto status = co_await Answer::wait(answer, deadline);
  session->forget(answer);
  co_return status;
}

void Client::tell(v1::GateCommand command) {
  session_->send(std::move(command));
}

void Client::on_status(OnStatus handler) {
  session_->handler = std::move(handler);
}

const std::string& Client::gone() const {
  return session_->gone;
}

}  // namespace umbra::gate
