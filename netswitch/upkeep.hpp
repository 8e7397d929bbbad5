/// Keeps the kernel's tables what Switch made of them, whoever else changes them.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/signal.hpp"
#include "netswitch/switch.hpp"

namespace umbra::netswitch {

/// Looks whenever the kernel tells of a change, and every kSweep without one; puts back what is missing, and says so.
/// Foreign routes stay: one in the place of ours is an alert.
///
/// All of it is bounded. Looks are kPace apart, and each puts back kMostAtOnce things at most. What is removed more
/// than kMostFights times in kFightWindow is disputed: an alert, once, and from then on it is put back only every
/// kTruce, silently, until it has stayed for kPeace.
///
/// A VM that has come by a cutover gets the ordinary queue of its tap at the first look when it has been here for
/// kSettled, so that what waited there has been read.
///
/// Agent strand only. Kernel, Switch and Clock outlive the coroutine.
class Upkeep {
 public:
  static constexpr Milliseconds kPace{100};
  static constexpr Milliseconds kSweep{30'000};
  static constexpr Milliseconds kBlindSweep{2'000};  ///< without notifications of the kernel
  static constexpr Milliseconds kRetry{1'000};       ///< of what could not be put back
  static constexpr Milliseconds kPatience{10'000};   ///< before that is an alert; a link may be on its way up
  static constexpr Milliseconds kTellings{2'000};    ///< between two events of what was put back
  static constexpr std::size_t kMostAtOnce = 1'000;
  static constexpr std::size_t kMostFights = 5;
  static constexpr Milliseconds kFightWindow{60'000};
  static constexpr Milliseconds kTruce{30'000};
  static constexpr Milliseconds kPeace{300'000};
  static constexpr Milliseconds kSettled{30'000};  ///< longer than a cutover may last
  static constexpr std::size_t kMostNamed = 8;     ///< in one event; the others are counted

  enum class Tone : std::uint8_t { kNotice, kAlert };
  /// @param vm UUID if all of it is one VM's; else empty
  using Tell = std::function<void(Tone tone, const std::string& vm, const std::string& text)>;

  Upkeep(asio::any_io_executor executor, Clock& clock, Kernel& kernel, Switch& fabric, Tell tell);

  /// Until stop().
  asio::awaitable<void> run();
  void stop();

 private:
  using TimePoint = Signal::TimePoint;
  /// What was damaged lately.
  struct Trouble {
    TimePoint seen{};
    TimePoint not_before{};        ///< try again
    std::deque<TimePoint> fights;  ///< when it was put back, kMostFights + 1 at most
    TimePoint failing_since = TimePoint::max();
    bool alerted = false;
    bool disputed = false;
  };

  void open_watch();
  TimePoint look(TimePoint now);
  void settle(TimePoint now);
  void put_back(const std::vector<Damage>& damages, TimePoint now);
  bool is_hopeless(const Error& error, Trouble& trouble, TimePoint now);
  void tell_repairs(TimePoint now);
  void tell_all(Tone tone, const std::vector<Damage>& what, std::size_t count, const std::string& before,
                const std::string& after);

  asio::any_io_executor executor_;
  Clock& clock_;
  Kernel& kernel_;
  Switch& switch_;
  Tell tell_;
  Signal changed_;
  std::unique_ptr<KernelWatch> watch_;
  bool news_ = false;
  bool stopping_ = false;
  bool unfinished_ = false;                  ///< the last look had more to do than kMostAtOnce
  bool failing_ = false;                     ///< something could not be put back, or looked at
  std::string blindness_;                    ///< why the tables could not be read, as told last
  std::map<std::string, Trouble> troubles_;  ///< by Damage::name
  std::map<std::string, TimePoint> came_;    ///< by VM (UUID) that has not settled yet: since when that is known
  std::vector<Damage> repaired_;             ///< not told yet, kMostNamed at most
  std::size_t repaired_count_ = 0;
  TimePoint told_at_ = TimePoint::min();
};

}  // namespace umbra::netswitch
