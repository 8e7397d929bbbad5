/// Who asked the controller for what, and what came of it: AUDIT events.
#pragma once

#include <map>

#include "controller/event_log.hpp"
#include "rpc/service.hpp"

namespace umbra::controller {

/// What was done is told each time. What was denied or failed is told too, but cannot fill the store: the same refusal
/// of the same caller once a minute, with the number of its repetitions at the minute's end, and at most 20 of one
/// caller and 100 in all in one minute; the rest is counted, and the sums are told.
/// Controller's thread only.
class Audit {
 public:
  static constexpr std::size_t kMostOfActor = 20;
  static constexpr std::size_t kMostInAll = 100;
  static constexpr std::chrono::minutes kWindow{1};

  Audit(EventLog& events, Clock& clock, asio::any_io_executor executor)
      : events_(events), clock_(clock), beat_(std::move(executor), clock) {}

  void done(const rpc::Caller& caller, std::string text, EventLog::About about);
  /// Of all that failed: what was denied to anybody, and what failed of calls that only admins may make.
  void failed(const rpc::FailedCall& call);

  /// Ends the minute when it is over: tells what was counted. run() does it each minute until cancelled.
  void flush();
  asio::awaitable<void> run();

 private:
  struct Counted {
    v1::Event first;
    std::uint64_t more = 0;
  };
  struct Actor {
    std::map<std::string, Counted> refusals;  ///< by outcome, call, target and cause
    std::uint64_t dropped = 0;
    v1::Event last;
  };
  void begin_window();

  EventLog& events_;
  Clock& clock_;
  Signal beat_;
  std::chrono::steady_clock::time_point until_{};
  std::map<std::string, Actor> actors_;  ///< by role and name
  std::size_t told_ = 0;
  std::uint64_t dropped_ = 0;  ///< of callers beyond kMostInAll
};

/// "vm=web1 to=host2 wait=true": the fields of a serialised request that are set, at most 200 characters. Empty when
/// the method is not known or the bytes are no request of it.
/// @param vm set to the field `vm` or `vm_uuid`
std::string describe_request(std::string_view method, std::string_view request, std::string& vm);

}  // namespace umbra::controller
