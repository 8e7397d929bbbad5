/// One side's gate of one shadow: lets QEMU's connections in, each into a channel of its own, and does as it is told.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "base/clock.hpp"
#include "base/task.hpp"
#include "gate/channel.hpp"
#include "gate/valve.hpp"

namespace umbra::gate {

/// It ends when its streams have ended – all of them with the first that is lost –, when it is told to, when QEMU's
/// socket is gone before any came, and when nobody has spoken to it for long and there is no stream. Executor's thread
/// only; the channels have their own.
class Gate {
 public:
  struct Hooks {
    std::function<void()> changed;  ///< something worth telling: a channel came or went
    std::function<void()> ended;    ///< once, when all threads are gone; status() says why
  };

  Gate(asio::any_io_executor executor, Clock& clock, Hooks hooks);
  ~Gate();

  /// @error kConflict it has a task; kInvalid, kNotFound, kExhausted what is wrong with the task
  Result<void> begin(v1::GateTask task);
  void set(v1::GateSetting setting);
  void end(std::string why);
  v1::GateStatus status() const;

  /// How many speak to it now. With none it looks after itself.
  void attended(bool by_somebody);

 private:
  struct Stream;

  Result<void> listen();
  void accept();
  void on_connection(Descriptor socket);
  void on_end(std::list<std::unique_ptr<Stream>>::iterator stream, Result<void> outcome);
  void look();
  void finish_if_over();
  Result<void> admit_qemu(const Descriptor& socket) const;
  bool claim(unsigned channel);

  asio::any_io_executor executor_;
  Clock& clock_;
  Hooks hooks_;
  std::optional<v1::GateTask> task_;
  std::optional<rpc::Tls> tls_;
  std::string endpoint_;
  std::optional<asio::posix::stream_descriptor> listener_;
  std::unique_ptr<Descriptor> listening_;
  asio::steady_timer timer_;
  Valve valve_;
  Counters counters_;
  std::list<std::unique_ptr<Stream>> streams_;
  std::int64_t started_unix_ms_, since_unix_ms_;
  unsigned ever_ = 0;
  std::uint64_t passes_before_ = 0, turned_away_ = 0;
  std::mutex claims_mutex_;
  std::set<unsigned> claims_;  ///< standby: channels that have begun
  bool attended_ = false;
  std::chrono::steady_clock::time_point alone_since_{};
  std::string why_;
  bool over_ = false;
  std::shared_ptr<Gate*> self_ = std::make_shared<Gate*>(this);  ///< emptied when this goes, for words of threads
};

}  // namespace umbra::gate
