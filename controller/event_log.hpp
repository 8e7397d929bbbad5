/// What happened, for people: stored, logged, and told to whoever follows.
#pragma once

#include "base/signal.hpp"
#include "controller/store/log_store.hpp"

namespace umbra::controller {

class EventLog {
 public:
  /// Characters; longer ones are cut, with a mark.
  static constexpr std::size_t kMostText = 2'000;
  static constexpr std::size_t kMostName = 255;

  EventLog(LogStore& store, Clock& clock, asio::any_io_executor executor)
      : store_(store), clock_(clock), arrived_(std::move(executor), clock) {}

  /// Stores an event; its id is given here, its time too when it has none. An event that cannot be stored is logged as
  /// an error and lost: no event is worth stopping what it tells of.
  void add(v1::Event event);

  struct About {
    std::string node{};
    std::string vm{};  ///< name
  };
  void add(v1::EventKind kind, v1::Severity severity, std::string text, About about, std::string actor = "controller");

  /// Oldest first. @error of the store
  Result<std::vector<v1::Event>> events(std::uint32_t last, const std::string& vm, std::uint64_t after_id) {
    return store_.events(last, vm, after_id);
  }
  /// Notified at each new event.
  Signal& arrived() { return arrived_; }

 private:
  LogStore& store_;
  Clock& clock_;
  Signal arrived_;
};

}  // namespace umbra::controller
