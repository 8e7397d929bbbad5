#include "metrics/endpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "base/listening.hpp"
#include "metrics/cutovers.hpp"
#include "metrics/families.hpp"

namespace umbra::metrics {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Scrape : public testing::Test {
 protected:
  asio::io_context io{1};
  std::shared_ptr<prometheus::Registry> counted = std::make_shared<prometheus::Registry>();
  std::unique_ptr<Endpoint> endpoint = Endpoint::listen(io.get_executor(), "127.0.0.1:0", counted, [] {
                                         return Families()
                                             .gauge("umbra_vms", "VMs here", 2, {{"state", "running"}})
                                             .gauge("umbra_vms", "VMs here", 1, {{"state", "a \"b\"\n"}})
                                             .take();
                                       }).value();

  std::string ask(const std::string& request) {
    std::string answer;
    std::thread other([&] {
      asio::io_context mine;
      asio::ip::tcp::socket socket(mine);
      socket.connect({asio::ip::make_address("127.0.0.1"), endpoint->port()});
      asio::write(socket, asio::buffer(request));
      boost::system::error_code end;
      asio::read(socket, asio::dynamic_buffer(answer), end);
      io.stop();
    });
    io.restart();
    io.run_for(std::chrono::seconds(20));
    other.join();
    return answer;
  }
};

TEST_F(Scrape, HasWhatIsCountedAndWhatIs) {
  Cutovers cutovers(*counted);
  v1::CutoverResult result;
  result.set_outcome(v1::OUTCOME_MOVED);
  result.set_blackout_ms(23);
  cutovers.ended(result);
  const auto answer = ask("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("umbra_cutovers_total{outcome=\"moved\"} 1"));
  EXPECT_THAT(answer, HasSubstr("umbra_cutovers_total{outcome=\"undecided\"} 0"));
  EXPECT_THAT(answer, HasSubstr("umbra_cutover_blackout_seconds_bucket{le=\"0.02\"} 0"));
  EXPECT_THAT(answer, HasSubstr("umbra_cutover_blackout_seconds_bucket{le=\"0.035\"} 1"));
  EXPECT_THAT(answer, HasSubstr("# TYPE umbra_vms gauge\numbra_vms{state=\"running\"} 2\n"
                                "umbra_vms{state=\"a \\\"b\\\"\\n\"} 1\n"));
}

TEST_F(Scrape, OfAnythingElseIsRefused) {
  EXPECT_THAT(ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask("DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 405"));
  EXPECT_EQ(ask("nonsense\r\n\r\n"), "");
  EXPECT_EQ(ask("GET /metrics HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"), "");
}

TEST(MetricsAddress, IsAnAddressAndAPort) {
  EXPECT_TRUE(parse_endpoint("127.0.0.1:9780"));
  EXPECT_TRUE(parse_endpoint("[::]:9780"));
  for (const auto* bad : {"", "9780", "localhost:9780", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:12x"})
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
}

TEST(MetricsAddress, ThatIsTakenIsSaid) {
  asio::io_context io{1};
  const auto registry = std::make_shared<prometheus::Registry>();
  const auto first = Endpoint::listen(io.get_executor(), "127.0.0.1:0", registry, [] { return Families().take(); });
  const auto second = Endpoint::listen(io.get_executor(), fmt::format("127.0.0.1:{}", (*first)->port()), registry, {});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().text(), HasSubstr("[metrics] listen"));
}

}  // namespace
}  // namespace umbra::metrics
