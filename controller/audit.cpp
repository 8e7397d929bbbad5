#include "controller/audit.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "base/printable.hpp"

namespace umbra::controller {
namespace {

namespace pb = google::protobuf;

constexpr std::size_t kMostTarget = 200;
constexpr std::size_t kMostError = 500;
constexpr std::size_t kMostName = 100;

/// "umbra.v1.Fleet/Cutover" → "Fleet/Cutover"
std::string short_name(std::string_view method) {
  const auto dot = method.rfind('.', method.rfind('/'));
  return printable(dot == std::string_view::npos ? method : method.substr(dot + 1), kMostName);
}

std::string value_text(const pb::Message& message, const pb::FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  if (field.is_repeated()) return fmt::format("({})", reflection.FieldSize(message, &field));
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return printable(reflection.GetString(message, &field), kMostName);
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      return reflection.GetEnum(message, &field)->name();
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      return fmt::format("{}", reflection.GetUInt64(message, &field));
    case pb::FieldDescriptor::CPPTYPE_INT64:
      return fmt::format("{}", reflection.GetInt64(message, &field));
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      return fmt::format("{}", reflection.GetUInt32(message, &field));
    case pb::FieldDescriptor::CPPTYPE_INT32:
      return fmt::format("{}", reflection.GetInt32(message, &field));
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return fmt::format("{:g}", reflection.GetDouble(message, &field));
    default:
      return "…";
  }
}

void describe(const pb::Message& message, std::string& out) {
  std::vector<const pb::FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  for (const auto* field : set) {
    if (out.size() > 4 * kMostTarget) return;
    if (!field->is_repeated() && field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      describe(message.GetReflection()->GetMessage(message, field), out);
      continue;
    }
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", field->name(), value_text(message, *field));
  }
}

std::string text_field(const pb::Message& message, const char* name) {
  const auto* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() || field->cpp_type() != pb::FieldDescriptor::CPPTYPE_STRING) return {};
  return message.GetReflection()->GetString(message, field);
}

bool viewers_may(const rpc::Method& method) {
  return std::find(method.allow.begin(), method.allow.end(), v1::ROLE_VIEWER) != method.allow.end();
}
bool admins_may(const rpc::Method& method) {
  return std::find(method.allow.begin(), method.allow.end(), v1::ROLE_ADMIN) != method.allow.end();
}

v1::Event with_text(v1::Event event, std::string text) {
  event.set_at_unix_ms(0);
  event.set_text(std::move(text));
  return event;
}

}  // namespace

std::string describe_request(std::string_view method, std::string_view request, std::string& vm) {
  std::string name(method);
  std::replace(name.begin(), name.end(), '/', '.');
  const auto* found = pb::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (found == nullptr) return {};
  const auto* prototype = pb::MessageFactory::generated_factory()->GetPrototype(found->input_type());
  if (prototype == nullptr) return {};
  const std::unique_ptr<pb::Message> message(prototype->New());
  if (!message->ParseFromArray(request.data(), static_cast<int>(request.size()))) return {};
  vm = text_field(*message, "vm");
  if (vm.empty()) vm = text_field(*message, "vm_uuid");
  vm = printable(vm, kMostName);
  std::string out;
  describe(*message, out);
  return limited(out, kMostTarget);
}

void Audit::done(const rpc::Caller& caller, std::string text, EventLog::About about) {
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_AUDIT);
  event.set_text(std::move(text));
  event.set_node(std::move(about.node));
  event.set_vm(std::move(about.vm));
  event.set_actor(caller.name);
  event.set_actor_role(caller.role);
  event.set_peer(caller.address);
  event.set_call(short_name(caller.method));
  event.set_outcome("done");
  events_.add(std::move(event));
}

void Audit::failed(const rpc::FailedCall& call) {
  const bool denied = call.error.code == Errc::kDenied;
  if (!denied && (call.method == nullptr || viewers_may(*call.method) || !admins_may(*call.method))) return;
  begin_window();
  std::string vm;
  const auto target = call.method == nullptr ? std::string{} : describe_request(call.name, call.request, vm);
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_AUDIT);
  event.set_severity(denied ? v1::SEVERITY_WARNING : v1::SEVERITY_INFO);
  event.set_vm(vm);
  event.set_actor(call.peer.name);
  event.set_actor_role(call.peer.role);
  event.set_peer(call.address);
  event.set_call(short_name(call.name));
  event.set_outcome(std::string(to_string(call.error.code)));
  event.set_text(fmt::format("{}{}{}: {}: {}", event.call(), target.empty() ? "" : " ", target,
                             denied ? "denied" : "failed", printable(call.error.message, kMostError)));

  const auto who = fmt::format("{} {}", rpc::role_name(call.peer.role), call.peer.name);
  const auto known = actors_.find(who);
  if (known == actors_.end() && actors_.size() >= kMostInAll) {
    ++dropped_;
    return;
  }
  auto& actor = known == actors_.end() ? actors_[who] : known->second;
  // Another cause is another refusal: v4 was host1's, and then host2's.
  const auto key = fmt::format("{}\n{}", event.outcome(), event.text());
  if (const auto same = actor.refusals.find(key); same != actor.refusals.end()) {
    ++same->second.more;
    return;
  }
  if (actor.refusals.size() >= kMostOfActor || told_ >= kMostInAll) {
    ++actor.dropped;
    actor.last = std::move(event);
    return;
  }
  ++told_;
  actor.refusals[key].first = event;
  events_.add(std::move(event));
}

void Audit::begin_window() {
  flush();
  if (actors_.empty() && dropped_ == 0 && told_ == 0) until_ = clock_.steady() + kWindow;
}

void Audit::flush() {
  if (clock_.steady() < until_) return;
  for (const auto& [who, actor] : std::exchange(actors_, {})) {
    for (const auto& [key, counted] : actor.refusals)
      if (counted.more > 0)
        events_.add(with_text(counted.first, fmt::format("{} more {} within a minute: {}", counted.more,
                                                         counted.more == 1 ? "time" : "times", counted.first.text())));
    if (actor.dropped > 0)
      events_.add(
          with_text(actor.last,
                    fmt::format("{} more calls were denied or failed within a minute and are not listed; the last: {}",
                                actor.dropped, actor.last.text())));
  }
  if (dropped_ > 0) {
    v1::Event event;
    event.set_kind(v1::EVENT_KIND_AUDIT);
    event.set_severity(v1::SEVERITY_WARNING);
    event.set_actor("controller");
    event.set_outcome(std::string(to_string(Errc::kDenied)));
    event.set_text(fmt::format("{} more calls of further callers were denied or failed within a minute", dropped_));
    events_.add(std::move(event));
  }
  dropped_ = 0;
  told_ = 0;
}

asio::awaitable<void> Audit::run() {
  while (true) {
    flush();
    co_await beat_.wait_until(clock_.steady() + kWindow);
  }
}

}  // namespace umbra::controller
