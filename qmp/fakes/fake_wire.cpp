#include "qmp/fakes/fake_wire.hpp"

#include <limits>

#include "qmp/fakes/fake_qemu.hpp"

namespace umbra::qmp {
namespace {

/// "tcp:HOST:PORT" → HOST and PORT; anything else has no port.
std::pair<std::string_view, std::string_view> host_and_port(std::string_view uri) {
  const auto colon = uri.rfind(':');
  if (!uri.starts_with("tcp:") || colon <= 4) return {uri, {}};
  return {uri.substr(4, colon - 4), uri.substr(colon + 1)};
}

bool reaches(std::string_view uri, std::string_view listening, std::string_view listener_host) {
  if (uri == listening) return true;
  const auto [host, port] = host_and_port(uri);
  const auto [bound, bound_port] = host_and_port(listening);
  const bool everywhere = bound == "0.0.0.0" || bound == "[::]" || bound.empty();
  return everywhere && !port.empty() && port == bound_port && (listener_host.empty() || listener_host == host);
}

}  // namespace

void FakeWire::advance(Milliseconds by) {
  for (auto left = by.count(); left > 0; --left) {
    clock_.advance(Milliseconds(1));
    const auto qemus = qemus_;
    for (const auto& weak : qemus)
      if (const auto qemu = weak.lock()) qemu->tick();
    std::erase_if(qemus_, [](const auto& weak) { return weak.expired(); });
  }
}

void FakeWire::leap(Milliseconds by) {
  clock_.advance(by);
  const auto qemus = qemus_;
  for (const auto& weak : qemus)
    if (const auto qemu = weak.lock()) {
      if (by > Milliseconds(1)) qemu->dirty(by - Milliseconds(1));
      qemu->tick();
    }
  std::erase_if(qemus_, [](const auto& weak) { return weak.expired(); });
}

std::chrono::steady_clock::time_point FakeWire::next_due() const {
  auto due = std::numeric_limits<std::int64_t>::max();
  for (const auto& weak : qemus_)
    if (const auto qemu = weak.lock()) due = std::min(due, qemu->due_ms());
  return due == std::numeric_limits<std::int64_t>::max() ? std::chrono::steady_clock::time_point::max()
                                                         : std::chrono::steady_clock::time_point(Milliseconds(due));
}

std::shared_ptr<FakeRelay> FakeWire::relay(std::string_view uri, std::string_view host) const {
  for (const auto& weak : relays_)
    if (auto relay = weak.lock(); relay && relay->alive && relay->uri == uri && relay->host == host) return relay;
  return nullptr;
}

std::shared_ptr<FakeQemu> FakeWire::listener(std::string_view uri, std::string_view host) const {
  std::string at(uri), on(host);
  while (const auto next = relay(at, on)) {
    at = next->to_uri;
    on = next->to_host;
  }
  const bool local = at.starts_with("unix:");
  for (const auto& weak : qemus_) {
    auto qemu = weak.lock();
    if (!qemu || !qemu->listening() || (local && qemu->options().host != on)) continue;
    if (reaches(at, *qemu->listening(), qemu->options().host)) return qemu;
  }
  return nullptr;
}

void FakeWire::cut(FakeRelay& relay) {
  if (!std::exchange(relay.alive, false)) return;
  const auto qemus = qemus_;
  for (const auto& weak : qemus)
    if (const auto qemu = weak.lock()) qemu->relay_lost(relay);
}

bool FakeWire::taken(std::string_view uri, std::string_view host) const {
  return std::any_of(qemus_.begin(), qemus_.end(), [&](const auto& weak) {
    const auto qemu = weak.lock();
    return qemu && qemu->listening() == uri && qemu->options().host == host;
  });
}

}  // namespace umbra::qmp
