#include "agentd/shadow/definition_guard.hpp"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>

namespace umbra::shadow {
namespace {

using namespace asio::experimental::awaitable_operators;

constexpr std::string_view kWhenOver = "wait for it to end; virsh blockjob tells how far it is";
constexpr std::string_view kMadeAnew = "its shadow is made anew; try again when umbractl shadows says that it is warm";

v1::BlockNode to_wire(const qmp::BlockNode& node) {
  v1::BlockNode out;
  out.set_name(node.name);
  out.set_driver(node.driver);
  out.set_file(node.file);
  out.set_backing(node.backing);
  out.set_read_only(node.read_only);
  return out;
}

std::string job_text(const qmp::BlockJob& job) {
  return fmt::format("a block job runs ({}{}{})", job.type, job.device.empty() ? "" : " ", job.device);
}

/// The first difference of two block graphs, in words; empty when there is none.
std::string graph_difference(const google::protobuf::RepeatedPtrField<v1::BlockNode>& was,
                             const std::vector<qmp::BlockNode>& now) {
  const auto before = [&](const qmp::BlockNode& node) {
    return std::find_if(was.begin(), was.end(), [&](const auto& other) { return other.name() == node.name; });
  };
  for (const auto& node : now) {
    const auto known = before(node);
    if (known == was.end()) return fmt::format("its disks use {} ({}) now", node.file, node.driver);
    if (known->SerializeAsString() == to_wire(node).SerializeAsString()) continue;
    if (known->file() != node.file) return fmt::format("its disks use {} instead of {}", node.file, known->file());
    return fmt::format("{} is used in another way by its disks", node.file);
  }
  for (const auto& node : was)
    if (std::none_of(now.begin(), now.end(), [&](const auto& other) { return other.name == node.name(); }))
      return fmt::format("its disks do not use {} any more", node.file());
  return {};
}

tl::unexpected<Error> refuse(DefinitionGuard::State state, const std::string& why) {
  const bool busy = state == DefinitionGuard::State::kBusy;
  return fail({Errc::kConflict, why, std::string(busy ? kWhenOver : kMadeAnew)});
}

}  // namespace

Task<virt::Definition> DefinitionGuard::begin(Deadline deadline) {
  UMBRA_CO_TRY(auto definition, co_await hypervisor_.definition(uuid_, deadline));
  if (const auto refusal = virt::belongings_refusal(definition); !refusal.empty())
    co_return fail(Errc::kUnsupported, "it cannot have a shadow: {}", refusal);
  // The graph after the XML: a change in between shows as a difference of the XML at the next look.
  qmp::Client qmp(hypervisor_.monitor(uuid_));
  UMBRA_CO_TRY(const auto jobs, co_await qmp.block_jobs(deadline));
  if (!jobs.empty()) co_return refuse(State::kBusy, job_text(jobs.front()));
  UMBRA_CO_TRY(const auto nodes, co_await qmp.block_nodes(deadline));
  const bool withdrawn = origin_.autostart_withdrawn();
  origin_.Clear();
  last_seen_.reset();
  origin_.set_live_xml(definition.live_xml);
  for (const auto& node : nodes) *origin_.add_block_nodes() = to_wire(node);
  origin_.set_autostart(definition.autostart);
  origin_.set_autostart_withdrawn(withdrawn);
  co_return definition;
}

void DefinitionGuard::take_up(const std::string& stored) {
  if (!origin_.ParseFromString(stored)) origin_.Clear();
}

Result<DefinitionGuard::View> DefinitionGuard::judge(virt::Definition now, const std::vector<qmp::BlockNode>& nodes,
                                                     const std::vector<qmp::BlockJob>& jobs) const {
  View view;
  if (!jobs.empty()) {
    view.state = State::kBusy;
    view.why = job_text(jobs.front());
  } else if (origin_.live_xml().empty()) {
    view.state = State::kDiffers;
    view.why = "nobody knows what its shadow was made of";
  } else if (view.why = virt::belongings_refusal(now); !view.why.empty()) {
    view.state = State::kDiffers;
  } else {
    UMBRA_TRY(const auto device, virt::device_difference(origin_.live_xml(), now.live_xml));
    view.why = device ? *device : graph_difference(origin_.block_nodes(), nodes);
    if (!view.why.empty()) view.state = State::kDiffers;
  }
  view.definition = std::move(now);
  return view;
}

Task<DefinitionGuard::View> DefinitionGuard::look(qmp::Client qmp, Deadline deadline) {
  UMBRA_CO_TRY(auto fingerprint, co_await hypervisor_.fingerprint(uuid_, deadline));  // first: rather too old
  auto graph = qmp;                                                                   // a client is a handle
  auto [definition, nodes, jobs] =
      co_await (hypervisor_.definition(uuid_, deadline) && graph.block_nodes(deadline) && qmp.block_jobs(deadline));
  UMBRA_CO_CHECK(definition);
  UMBRA_CO_CHECK(nodes);
  UMBRA_CO_CHECK(jobs);
  if (!origin_.autostart_withdrawn()) origin_.set_autostart(definition->autostart);
  auto view = judge(std::move(*definition), *nodes, *jobs);
  last_seen_.reset();
  if (view && view->state == State::kSame) last_seen_ = view->definition;
  fingerprint_ = std::move(fingerprint);
  co_return view;
}

Task<virt::Definition> DefinitionGuard::check(qmp::Client qmp, Deadline deadline) {
  UMBRA_CO_TRY(auto view, co_await look(std::move(qmp), deadline));
  if (view.state != State::kSame) co_return refuse(view.state, view.why);
  co_return std::move(view.definition);
}

Task<virt::Definition> DefinitionGuard::check_again(qmp::Client qmp, Deadline deadline) {
  if (last_seen_) {
    UMBRA_CO_TRY(const auto now, co_await hypervisor_.fingerprint(uuid_, deadline));
    if (last_seen_ && now == fingerprint_) co_return *last_seen_;
  }
  co_return co_await check(std::move(qmp), deadline);
}

Task<void> DefinitionGuard::check_disks(qmp::Client qmp, Deadline deadline) {
  if (origin_.block_nodes().empty()) co_return Result<void>{};  // it had none just now, and QEMU takes none meanwhile
  UMBRA_CO_TRY(const auto nodes, co_await qmp.block_nodes(deadline));
  if (const auto why = graph_difference(origin_.block_nodes(), nodes); !why.empty())
    co_return refuse(State::kDiffers, why);
  co_return Result<void>{};
}

v1::KeptDefinition to_wire(const virt::Definition& definition) {
  v1::KeptDefinition kept;
  kept.set_live_xml(definition.live_xml);
  kept.set_inactive_xml(definition.inactive_xml);
  kept.set_autostart(definition.autostart);
  for (const auto& xml : definition.snapshots) kept.add_snapshots(xml);
  kept.set_current_snapshot(definition.current_snapshot);
  for (const auto& xml : definition.checkpoints) kept.add_checkpoints(xml);
  return kept;
}

virt::Definition from_wire(const v1::KeptDefinition& kept) {
  return {kept.live_xml(),         kept.inactive_xml(),
          kept.autostart(),        {kept.snapshots().begin(), kept.snapshots().end()},
          kept.current_snapshot(), {kept.checkpoints().begin(), kept.checkpoints().end()}};
}

}  // namespace umbra::shadow
