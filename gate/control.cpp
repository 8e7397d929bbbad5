#include "gate/control.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/write.hpp>
#include <deque>

#include "gate/frame.hpp"

namespace umbra::gate {
namespace {

constexpr std::size_t kMostVisitors = 16;
constexpr std::size_t kMostUnread = 64;  // messages; who does not read them is sent away
constexpr std::size_t kChunk = 16U << 10;

}  // namespace

/// One connection. Kept alive by its own operations.
class Control::Visitor : public std::enable_shared_from_this<Visitor> {
 public:
  Visitor(Control& control, asio::local::stream_protocol::socket socket)
      : control_(control), socket_(std::move(socket)), chunk_(kChunk, '\0') {}

  void read() {
    socket_.async_read_some(asio::buffer(chunk_), [self = shared_from_this()](auto error, std::size_t count) {
      if (error) return self->leave();
      self->input_.append(self->chunk_, 0, count);
      for (;;) {
        v1::GateCommand command;
        const auto taken = take_frame(self->input_, command);
        if (!taken) spdlog::warn("the control socket: {}", taken.error());
        if (!taken) return self->leave();
        if (!*taken) break;
        self->tell(self->control_.obey(command));
      }
      if (!self->left_) self->read();
    });
  }

  void tell(const v1::GateStatus& status) {
    if (left_) return;
    if (output_.size() >= kMostUnread) return leave();
    output_.push_back(frame_of(status));
    if (output_.size() == 1) write();
  }

  void close() {
    left_ = true;
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  bool idle() const { return output_.empty(); }

 private:
  void write() {
    asio::async_write(socket_, asio::buffer(output_.front()), [self = shared_from_this()](auto error, std::size_t) {
      if (error) return self->leave();
      self->output_.pop_front();
      if (!self->output_.empty()) self->write();
    });
  }
  void leave() {
    if (left_) return;
    close();
    control_.leave(shared_from_this());
  }

  Control& control_;
  asio::local::stream_protocol::socket socket_;
  std::string chunk_, input_;
  std::deque<std::string> output_;
  bool left_ = false;
};

Control::Control(asio::any_io_executor executor, Clock& clock, std::filesystem::path path)
    : executor_(std::move(executor)),
      path_(std::move(path)),
      acceptor_(executor_),
      gate_(executor_, clock,
            Gate::Hooks{[this] { tell_all(); },
                        [this] {
                          tell_all();
                          // What was written to a unix socket is there, read or not.
                          asio::post(executor_, [this] { ended_(); });
                        }}) {}

Control::~Control() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  for (const auto& visitor : visitors_) visitor->close();
}

Result<std::unique_ptr<Control>> Control::listen(asio::any_io_executor executor, Clock& clock,
                                                 std::filesystem::path path) {
  UMBRA_TRY(auto listener, listen_unix(path, false));
  std::unique_ptr<Control> control(new Control(std::move(executor), clock, std::move(path)));
  boost::system::error_code error;
  control->acceptor_.assign(asio::local::stream_protocol(), ::dup(listener.get()), error);
  if (error) return fail(Errc::kInternal, "the control socket: {}", error.message());
  control->accept();
  return control;
}

void Control::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, asio::local::stream_protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      const auto user = user_of_peer(socket.native_handle());
      if (!user) {
        spdlog::warn("the control socket: {}", user.error());
      } else if (*user != ::geteuid() && *user != 0) {
        spdlog::warn("the control socket: user {} is not the one that this gate runs as", *user);
      } else if (visitors_.size() < kMostVisitors) {
        const auto visitor = std::make_shared<Visitor>(*this, std::move(socket));
        visitors_.insert(visitor);
        gate_.attended(true);
        visitor->read();
      }
    }
    accept();
  });
}

void Control::leave(const std::shared_ptr<Visitor>& visitor) {
  visitors_.erase(visitor);
  gate_.attended(!visitors_.empty());
}

v1::GateStatus Control::obey(const v1::GateCommand& command) {
  std::string refusal;
  switch (command.what_case()) {
    case v1::GateCommand::kBegin:
      if (const auto begun = gate_.begin(command.begin()); !begun) refusal = begun.error().text();
      break;
    case v1::GateCommand::kSet:
      gate_.set(command.set());
      break;
    case v1::GateCommand::kEnd:
      gate_.end(command.end());
      break;
    case v1::GateCommand::kLook:
      break;
    case v1::GateCommand::WHAT_NOT_SET:
      refusal = "this version of the gate does not know that command";
  }
  auto status = gate_.status();
  status.set_id(command.id());
  status.set_refusal(refusal);
  return status;
}

void Control::tell_all() {
  const auto status = gate_.status();
  const auto present = visitors_;  // who does not read leaves
  for (const auto& visitor : present) visitor->tell(status);
}

}  // namespace umbra::gate
