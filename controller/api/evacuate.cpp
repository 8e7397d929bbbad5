#include "controller/api/evacuate.hpp"

namespace umbra::controller {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 500ms;

}  // namespace

Task<void> follow(Core core, std::shared_ptr<const Evacuation> evacuation, rpc::Sink<v1::EvacuateProgress> sink) {
  std::map<std::string, std::uint64_t> seen;
  bool ended = false;
  while (!ended) {
    ended = evacuation->ended();  // before looking, so that the last news are told too
    const auto moves = evacuation->moves;
    for (const auto& move : moves) {
      if (std::exchange(seen[move->vm_uuid], move->news) == move->news) continue;
      v1::EvacuateProgress news;
      *news.mutable_move() = move->progress;
      if (move->end && *move->end) *news.mutable_move()->mutable_result() = **move->end;
      news.set_moved(evacuation->moved);
      news.set_failed(evacuation->failed);
      UMBRA_CO_CHECK(co_await sink.send(std::move(news)));
    }
    if (!ended) co_await core.mover.changed().wait_until(core.clock.steady() + kLook);
  }
  v1::EvacuateProgress last;
  last.set_moved(evacuation->moved);
  last.set_failed(evacuation->failed);
  co_return co_await sink.send(std::move(last));
}

}  // namespace umbra::controller
