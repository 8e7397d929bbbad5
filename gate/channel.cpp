#include "gate/channel.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace umbra::gate {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBuffer = 256U << 10;  // what a unix socket holds
constexpr auto kLook = 1s;                   // between looks at TCP's health
/// RAM_SAVE_FLAG_EOS, which QEMU sends and flushes at the end of each round (migration/ram.c: ram_save_iterate).
constexpr std::uint64_t kEndOfRound = 0x10;

/// The last eight bytes of a stream, as a number in the network's order.
std::uint64_t last_of(std::uint64_t before, std::span<const std::byte> bytes) {
  if (bytes.size() > sizeof before) bytes = bytes.last(sizeof before);
  for (const auto byte : bytes) before = before << 8 | std::to_integer<std::uint64_t>(byte);
  return before;
}

}  // namespace

Channel::Channel(Descriptor qemu, Line line, Valve* valve, Counters& counters)
    : qemu_(std::move(qemu)),
      line_(std::move(line)),
      valve_(valve),
      counters_(counters),
      stop_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  out_.buffer.resize(kBuffer);
  in_.buffer.resize(kBuffer);
}

void Channel::stop() {
  const std::uint64_t one = 1;
  static_cast<void>(::write(stop_.get(), &one, sizeof one));
}

std::uint64_t Channel::queued() const {
  return taken_ + unacknowledged(line_.socket());
}

bool Channel::lose(std::string why) {
  if (lost_.empty()) lost_ = std::move(why);
  return false;
}

Result<void> Channel::run() {
  counters_.kernel_tls = line_.in_kernel();
  bool stopped = false;
  while (lost_.empty() && !(out_.closed && in_.closed)) {
    const auto now = std::chrono::steady_clock::now();
    if (!look_at_line(now)) break;
    const bool moved = take_from_qemu(now) | give_to_line() | take_from_line() | give_to_qemu();
    if (moved || !lost_.empty()) continue;
    wait(now);
    std::uint64_t count = 0;
    if (::read(stop_.get(), &count, sizeof count) > 0) {
      stopped = true;
      break;
    }
  }
  const bool whole = lost_.empty() && !stopped;
  if (!whole) line_.abandon();
  ::shutdown(qemu_.get(), SHUT_RDWR);
  if (stopped) return fail(Errc::kCancelled, "the gate was told to end it");
  if (!whole) return fail(Errc::kUnavailable, "{}", lost_);
  return {};
}

bool Channel::take_from_qemu(Valve::Time now) {
  if (out_.ended || !out_.empty() || line_full_) return false;
  leave_ = valve_ != nullptr ? valve_->ask(now) : Valve::Leave{out_.buffer.size(), {}};
  if (leave_.bytes == 0) return false;
  const auto most = std::min(leave_.bytes, out_.buffer.size());
  const auto got = ::recv(qemu_.get(), out_.buffer.data(), most, 0);
  if (got > 0) {
    out_.begin = 0;
    out_.end = static_cast<std::size_t>(got);
    taken_ = out_.end;
    last_bytes_ = last_of(last_bytes_, std::span(out_.buffer).first(out_.end));
    if (valve_ != nullptr) valve_->passed(out_.end, out_.end < most && last_bytes_ == kEndOfRound, now);
    return true;
  }
  if (got == 0) out_.ended = true;
  if (got < 0 && errno != EAGAIN && errno != EINTR) return lose(fmt::format("QEMU: {}", std::strerror(errno)));
  return got == 0;
}

bool Channel::give_to_line() {
  if (out_.closed) return false;
  if (out_.empty() && !line_full_) {
    if (!out_.ended) return false;
    line_.finish();
    return out_.closed = true;
  }
  const auto waited = line_full_;
  std::size_t count = 0;
  const auto moved = line_.write(std::span(out_.buffer).subspan(out_.begin, out_.end - out_.begin), count);
  if (moved == Moved::kLost || moved == Moved::kEnd) return lose("the other gate: " + line_.why());
  line_full_ = moved == Moved::kNone;
  if (line_full_ && !waited) ++counters_.stalls;
  out_.begin += count;
  counters_.bytes += count;
  taken_ = out_.end - out_.begin + line_.unsent();
  return count > 0 || (waited && !line_full_);
}

bool Channel::take_from_line() {
  if (in_.ended || !in_.empty()) return false;
  in_.begin = in_.end = 0;
  auto moved = Moved::kSome;
  while (moved == Moved::kSome && in_.end < in_.buffer.size()) {
    std::size_t count = 0;
    moved = line_.read(std::span(in_.buffer).subspan(in_.end), count);
    in_.end += count;
  }
  if (moved == Moved::kLost) return lose("the other gate: " + line_.why());
  if (moved == Moved::kEnd) in_.ended = true;
  return in_.ended || !in_.empty();
}

bool Channel::give_to_qemu() {
  if (in_.closed) return false;
  if (in_.empty()) {
    if (!in_.ended) return false;
    // Without TLS a peer that has ended its half cannot be told from one that is lost; QEMU itself ends both at once.
    ::shutdown(qemu_.get(), line_.is_plain() ? SHUT_RDWR : SHUT_WR);
    return in_.closed = true;
  }
  const auto put = ::send(qemu_.get(), in_.buffer.data() + in_.begin, in_.end - in_.begin, MSG_NOSIGNAL);
  const auto waited = qemu_full_;
  qemu_full_ = put < 0 && errno == EAGAIN;
  if (qemu_full_ && !waited) ++counters_.stalls;
  if (put < 0 && errno != EAGAIN && errno != EINTR) return lose(fmt::format("QEMU: {}", std::strerror(errno)));
  if (put > 0) in_.begin += static_cast<std::size_t>(put);
  if (put > 0) counters_.bytes += static_cast<std::uint64_t>(put);
  return put > 0;
}

bool Channel::look_at_line(Valve::Time now) {
  if (now < look_at_) return true;
  look_at_ = now + kLook;
  const auto health = health_of(line_.socket());
  counters_.round_trip_us = health.round_trip.count();
  return health.dead ? lose("the other host has not answered for five seconds") : true;
}

/// For whatever could move something: nothing is waited for in vain.
void Channel::wait(Valve::Time now) {
  auto until = look_at_;
  pollfd qemu{qemu_.get(), 0, 0}, line{line_.descriptor(), 0, 0};
  if (!out_.ended && out_.empty() && !line_full_) {
    if (leave_.bytes > 0)
      qemu.events |= POLLIN;
    else
      until = std::min(until, leave_.until);
  }
  if (!out_.empty() || line_full_) line.events |= line_.write_waits_for();
  if (!in_.ended && in_.empty()) line.events |= line_.read_waits_for();
  if (!in_.empty()) qemu.events |= POLLOUT;
  for (auto* one : {&qemu, &line})  // one that hung up would wake us again and again
    if (one->events == 0) one->fd = -1;
  std::array waited{qemu, line, pollfd{stop_.get(), POLLIN, 0},
                    pollfd{valve_ != nullptr ? valve_->wake_descriptor() : -1, POLLIN, 0}};
  const auto left = std::max<std::chrono::nanoseconds>(until - now, 0ns);
  const timespec time{left / 1s, (left % 1s).count()};
  ::ppoll(waited.data(), waited.size(), &time, nullptr);
  if (waited[3].revents != 0) valve_->drain();
}

}  // namespace umbra::gate
