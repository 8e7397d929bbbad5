// How a host says it is, for whoever looks at the service.
#include <gmock/gmock.h>

#include "agentd/tests/two_hosts.hpp"

namespace umbra::agent::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(Condition, OfAHostIsALine) {
  TwoHosts world;
  ASSERT_TRUE(world.until([&] { return world.source.process->host()->condition().settled; }, 10s));
  world.warm();
  EXPECT_EQ(world.source.process->host()->condition().text, "VMs: 1, 1 with a shadow elsewhere; shadows held here: 0");
  EXPECT_EQ(world.standby.process->host()->condition().text, "VMs: 0, 0 with a shadow elsewhere; shadows held here: 1");
  world.source.hypervisor->set_connected(false);
  world.pass(100ms);
  EXPECT_FALSE(world.source.process->host()->condition().settled);
  EXPECT_THAT(world.source.process->host()->condition().text, HasSubstr("libvirt is not reachable"));
}

}  // namespace
}  // namespace umbra::agent::test
