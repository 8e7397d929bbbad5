// Short ways to write addresses in tests.
#pragma once

#include "netswitch/address.hpp"

namespace umbra::netswitch::test {

inline IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
inline MacAddress mac(std::string_view text) {
  return MacAddress::parse(text).value();
}

}  // namespace umbra::netswitch::test
