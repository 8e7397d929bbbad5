#include "netswitch/tests/guest.hpp"

#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace umbra::netswitch::test {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kPatience = 5ms;  // how long the guest looks at its tap before it looks up
constexpr std::size_t kLargest = 2048;

template <class T>
void swap_bytes(T& left, T& right) {  // header fields may be unaligned
  std::array<std::uint8_t, sizeof(T)> keep;
  std::memcpy(keep.data(), &left, sizeof(T));
  std::memcpy(&left, &right, sizeof(T));
  std::memcpy(&right, keep.data(), sizeof(T));
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
  if (frame.size() < sizeof(ether_header)) return false;
  auto* ethernet = reinterpret_cast<ether_header*>(frame.data());
  if (std::memcmp(ethernet->ether_dhost, mac_.bytes().data(), ETH_ALEN) != 0) return false;
  std::uint8_t* packet = frame.data() + sizeof(ether_header);
  std::size_t header = 0;
  if (ethernet->ether_type == htons(ETHERTYPE_IP)) {
    auto* ip = reinterpret_cast<iphdr*>(packet);
    header = sizeof(iphdr);
    if (frame.size() < sizeof(ether_header) + header + sizeof(udphdr) || ip->protocol != IPPROTO_UDP) return false;
    swap_bytes(ip->saddr, ip->daddr);
  } else if (ethernet->ether_type == htons(ETHERTYPE_IPV6)) {
    auto* ip = reinterpret_cast<ip6_hdr*>(packet);
    header = sizeof(ip6_hdr);
    if (frame.size() < sizeof(ether_header) + header + sizeof(udphdr) || ip->ip6_nxt != IPPROTO_UDP) return false;
    swap_bytes(ip->ip6_src, ip->ip6_dst);
  } else {
    return false;
  }
  auto* udp = reinterpret_cast<udphdr*>(packet + header);
  swap_bytes(udp->source, udp->dest);
  std::memcpy(ethernet->ether_shost, mac_.bytes().data(), ETH_ALEN);
  std::memcpy(ethernet->ether_dhost, gateway_.bytes().data(), ETH_ALEN);
  return true;
}

MacAddress Guest::resolve(const IpAddress& gateway) {
  const Held hold(*this);
  std::array<std::uint8_t, sizeof(ether_header) + sizeof(ether_arp)> frame{};
  auto* ethernet = reinterpret_cast<ether_header*>(frame.data());
  std::memset(ethernet->ether_dhost, 0xff, ETH_ALEN);
  std::memcpy(ethernet->ether_shost, mac_.bytes().data(), ETH_ALEN);
  ethernet->ether_type = htons(ETHERTYPE_ARP);
  auto* arp = reinterpret_cast<ether_arp*>(frame.data() + sizeof(ether_header));
  arp->ea_hdr = {htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), ETH_ALEN, 4, htons(ARPOP_REQUEST)};
  std::memcpy(arp->arp_sha, mac_.bytes().data(), ETH_ALEN);
  std::memcpy(arp->arp_spa, address_.bytes().data(), 4);
  std::memcpy(arp->arp_tpa, gateway.bytes().data(), 4);
  if (write(tap_, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) return {};

  pollfd ready{tap_, POLLIN, 0};
  while (poll(&ready, 1, 2000) > 0) {
    std::array<std::uint8_t, kLargest> buffer{};
    const ssize_t size = read(tap_, buffer.data(), buffer.size());
    const auto* reply = reinterpret_cast<const ether_arp*>(buffer.data() + sizeof(ether_header));
    const bool is_reply = size >= static_cast<ssize_t>(frame.size()) &&
                          reinterpret_cast<const ether_header*>(buffer.data())->ether_type == htons(ETHERTYPE_ARP) &&
                          reply->arp_op == htons(ARPOP_REPLY) &&
                          std::memcmp(reply->arp_spa, gateway.bytes().data(), 4) == 0;
    if (!is_reply) continue;
    std::array<std::uint8_t, 6> bytes{};
    std::memcpy(bytes.data(), reply->arp_sha, bytes.size());
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
