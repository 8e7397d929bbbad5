#include "netswitch/tests/guest.hpp"

#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace umbra::netswitch::test {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kPatience = 5ms;  // how long the guest looks at its tap before it looks up
constexpr std::size_t kLargest = 2048;

// Fields are reached by their offsets: behind an Ethernet header nothing is aligned.
void swap_fields(std::uint8_t* left, std::uint8_t* right, std::size_t size) {
  std::swap_ranges(left, left + size, right);
}

std::uint16_t type_of(std::span<const std::uint8_t> frame) {
  const std::size_t at = offsetof(ether_header, ether_type);
  return static_cast<std::uint16_t>(frame[at] << 8 | frame[at + 1]);
}

}  // namespace

class Guest::Held {
 public:
  explicit Held(Guest& guest) : guest_(guest) {
    ++guest_.waiting_;
    guest_.busy_.lock();
  }
  ~Held() {
    guest_.busy_.unlock();
    --guest_.waiting_;
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Guest& guest_;
};

Guest::Guest(IpAddress address, MacAddress mac, int tap) : address_(address), mac_(mac), tap_(tap) {
  gateway_ = MacAddress({0xee, 0xee, 0xee, 0xee, 0xee, 0x01});
  life_ = std::thread([this] { live(); });
}

Guest::~Guest() {
  over_ = true;
  life_.join();
}

void Guest::live() {
  while (!over_) {
    if (waiting_ > 0) {
      std::this_thread::yield();
      continue;
    }
    const std::lock_guard hold(busy_);
    serve(tap_, kPatience);
  }
}

/// @return whether there was a frame within `patience`
bool Guest::serve(int tap, Milliseconds patience) {
  pollfd ready{tap, POLLIN, 0};
  if (poll(&ready, 1, static_cast<int>(patience.count())) <= 0) return false;
  std::array<std::uint8_t, kLargest> buffer{};
  const ssize_t size = read(tap, buffer.data(), buffer.size());
  if (size <= 0) return false;
  if (answer({buffer.data(), static_cast<std::size_t>(size)}) &&
      write(tap, buffer.data(), static_cast<std::size_t>(size)) == size) {
    ++answered_;
  }
  return true;
}

/// Turns a datagram round. Addresses and ports change places, so both checksums stay right.
bool Guest::answer(std::span<std::uint8_t> frame) {
  constexpr std::size_t kLeast = sizeof(ether_header) + sizeof(iphdr) + sizeof(udphdr) + sizeof(std::uint32_t);
  if (frame.size() < kLeast || !std::equal(mac_.bytes().begin(), mac_.bytes().end(), frame.begin())) return false;
  std::uint8_t* packet = frame.data() + sizeof(ether_header);
  std::uint8_t* udp = nullptr;
  if (type_of(frame) == ETHERTYPE_IP && packet[offsetof(iphdr, protocol)] == IPPROTO_UDP) {
    swap_fields(packet + offsetof(iphdr, saddr), packet + offsetof(iphdr, daddr), 4);
    udp = packet + sizeof(iphdr);
  } else if (type_of(frame) == ETHERTYPE_IPV6 && packet[offsetof(ip6_hdr, ip6_nxt)] == IPPROTO_UDP) {
    swap_fields(packet + offsetof(ip6_hdr, ip6_src), packet + offsetof(ip6_hdr, ip6_dst), 16);
    udp = packet + sizeof(ip6_hdr);
  } else {
    return false;
  }
  swap_fields(udp + offsetof(udphdr, source), udp + offsetof(udphdr, dest), 2);
  std::copy(gateway_.bytes().begin(), gateway_.bytes().end(), frame.begin());
  std::copy(mac_.bytes().begin(), mac_.bytes().end(), frame.begin() + ETH_ALEN);
  return true;
}

MacAddress Guest::resolve(const IpAddress& gateway) {
  const Held hold(*this);
  struct [[gnu::packed]] Arp {
    ether_header ethernet;
    ether_arp arp;
  };
  Arp ask{};
  std::memset(ask.ethernet.ether_dhost, 0xff, ETH_ALEN);
  std::memcpy(ask.ethernet.ether_shost, mac_.bytes().data(), ETH_ALEN);
  ask.ethernet.ether_type = htons(ETHERTYPE_ARP);
  ask.arp.ea_hdr = {htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), ETH_ALEN, 4, htons(ARPOP_REQUEST)};
  std::memcpy(ask.arp.arp_sha, mac_.bytes().data(), ETH_ALEN);
  std::memcpy(ask.arp.arp_spa, address_.bytes().data(), 4);
  std::memcpy(ask.arp.arp_tpa, gateway.bytes().data(), 4);
  if (write(tap_, &ask, sizeof ask) != static_cast<ssize_t>(sizeof ask)) return {};

  pollfd ready{tap_, POLLIN, 0};
  while (poll(&ready, 1, 2000) > 0) {
    std::array<std::uint8_t, kLargest> buffer{};
    if (read(tap_, buffer.data(), buffer.size()) < static_cast<ssize_t>(sizeof(Arp))) continue;
    Arp reply{};
    std::memcpy(&reply, buffer.data(), sizeof reply);
    const bool is_reply = type_of(buffer) == ETHERTYPE_ARP && reply.arp.arp_op == htons(ARPOP_REPLY) &&
                          std::memcmp(reply.arp.arp_spa, gateway.bytes().data(), 4) == 0;
    if (!is_reply) continue;
    std::array<std::uint8_t, ETH_ALEN> bytes{};
    std::memcpy(bytes.data(), reply.arp.arp_sha, bytes.size());
    return gateway_ = MacAddress(bytes);
  }
  return {};
}

void Guest::move(int tap, Milliseconds blackout) {
  const Held hold(*this);
  while (serve(tap_, kPatience)) {
  }
  std::this_thread::sleep_for(blackout);
  tap_ = tap;
}

}  // namespace umbra::netswitch::test
