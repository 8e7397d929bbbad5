#include "controller/api/tidy.hpp"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>

#include "base/printable.hpp"

namespace umbra::controller {
namespace {

namespace pb = google::protobuf;

constexpr std::array<std::string_view, 6> kTexts{"text", "detail", "reason", "refusal", "why", "warnings"};

std::size_t most_of(const pb::FieldDescriptor& field) {
  return std::find(kTexts.begin(), kTexts.end(), field.name()) != kTexts.end() ? kMostText : kMostName;
}

/// The usual case, told apart fast: most strings of a report are names.
bool is_plain(const std::string& text, std::size_t most) {
  return text.size() <= most && !text.starts_with('<') &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

}  // namespace

void tidy(pb::Message& message) {
  const auto& reflection = *message.GetReflection();
  std::vector<const pb::FieldDescriptor*> set;
  reflection.ListFields(message, &set);
  for (const auto* field : set) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      for (int i = 0; i < count; ++i)
        tidy(field->is_repeated() ? *reflection.MutableRepeatedMessage(&message, field, i)
                                  : *reflection.MutableMessage(&message, field));
      continue;
    }
    if (field->type() != pb::FieldDescriptor::TYPE_STRING || field->name() == "xml") continue;
    const auto most = most_of(*field);
    std::string scratch;
    for (int i = 0; i < count; ++i) {
      const auto& text = field->is_repeated() ? reflection.GetRepeatedStringReference(message, field, i, &scratch)
                                              : reflection.GetStringReference(message, field, &scratch);
      if (is_plain(text, most)) continue;
      auto tidied = printable(text, most);
      if (field->is_repeated())
        reflection.SetRepeatedString(&message, field, i, std::move(tidied));
      else
        reflection.SetString(&message, field, std::move(tidied));
    }
  }
}

Result<void> check_texts(const pb::Message& request) {
  const auto& reflection = *request.GetReflection();
  std::vector<const pb::FieldDescriptor*> set;
  reflection.ListFields(request, &set);
  for (const auto* field : set) {
    if (field->is_repeated()) continue;
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE)
      UMBRA_CHECK(check_texts(reflection.GetMessage(request, field)));
    if (field->type() != pb::FieldDescriptor::TYPE_STRING) continue;
    std::string scratch;
    const auto most = most_of(*field);
    if (reflection.GetStringReference(request, field, &scratch).size() > most)
      return fail({Errc::kInvalid, fmt::format("{} is longer than {} bytes", field->name(), most), "shorten it"});
  }
  return {};
}

}  // namespace umbra::controller
