#include "cli/output/json.hpp"

#include <google/protobuf/descriptor.h>

#include <boost/json/serialize.hpp>
#include <cctype>
#include <cmath>

#include "base/printable.hpp"

namespace umbra::cli {
namespace {

namespace json = boost::json;
namespace pb = google::protobuf;

/// One value of a field: its only one, or element `index` of a repeated one.
json::value value_of(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  const auto& reflection = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
#define UMBRA_JSON_CASE(kind, Kind)         \
  case pb::FieldDescriptor::CPPTYPE_##kind: \
    return many ? reflection.GetRepeated##Kind(message, &field, index) : reflection.Get##Kind(message, &field)
    UMBRA_JSON_CASE(INT32, Int32);
    UMBRA_JSON_CASE(INT64, Int64);
    UMBRA_JSON_CASE(UINT32, UInt32);
    UMBRA_JSON_CASE(UINT64, UInt64);
    UMBRA_JSON_CASE(DOUBLE, Double);
    UMBRA_JSON_CASE(FLOAT, Float);
    UMBRA_JSON_CASE(BOOL, Bool);
#undef UMBRA_JSON_CASE
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      const auto number =
          many ? reflection.GetRepeatedEnumValue(message, &field, index) : reflection.GetEnumValue(message, &field);
      return json::string(enum_word(*field.enum_type(), number));
    }
    case pb::FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return json::string(many ? reflection.GetRepeatedStringReference(message, &field, index, &scratch)
                               : reflection.GetStringReference(message, &field, &scratch));
    }
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      return to_json(many ? reflection.GetRepeatedMessage(message, &field, index)
                          : reflection.GetMessage(message, &field));
  }
  return nullptr;
}

/// A string as JSON (RFC 8259). What steers a terminal is written as an escape, which changes nothing for programs;
/// bytes that are no UTF-8 become U+FFFD.
void write_string(std::string& out, std::string_view text) {
  const auto escape = [&](std::uint32_t unit) { out += fmt::format("\\u{:04x}", unit); };
  out += '"';
  while (!text.empty()) {
    const auto [point, length] = decode_utf8(text);
    if (length == 0) {
      out += "\uFFFD";
    } else if (point == '"' || point == '\\') {
      out += '\\';
      out += static_cast<char>(point);
    } else if (point == '\n') {
      out += "\\n";
    } else if (!is_steering(point)) {
      out += text.substr(0, length);
    } else if (point < 0x10000) {
      escape(point);
    } else {
      escape(0xD800 + ((point - 0x10000) >> 10));
      escape(0xDC00 + ((point - 0x10000) & 0x3FF));
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  out += '"';
}

void write(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::object: {
      out += '{';
      const char* gap = "";
      for (const auto& [key, member] : value.get_object()) {
        out += std::exchange(gap, ",");
        write_string(out, {key.data(), key.size()});
        out += ':';
        write(out, member);
      }
      out += '}';
      return;
    }
    case json::kind::array: {
      out += '[';
      const char* gap = "";
      for (const auto& element : value.get_array()) {
        out += std::exchange(gap, ",");
        write(out, element);
      }
      out += ']';
      return;
    }
    case json::kind::string:
      write_string(out, {value.get_string().data(), value.get_string().size()});
      return;
    case json::kind::double_:  // JSON has no word for infinity or "not a number"
      out += std::isfinite(value.get_double()) ? fmt::format("{}", value.get_double()) : "null";
      return;
    default:
      out += json::serialize(value);
  }
}

}  // namespace

json::value to_json(const pb::Message& message) {
  json::object object;
  const auto& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    const auto& reflection = *message.GetReflection();
    if (field.is_repeated()) {
      json::array values;
      for (int index = 0; index < reflection.FieldSize(message, &field); ++index)
        values.push_back(value_of(message, field, index));
      object.emplace(field.name(), std::move(values));
    } else if (field.has_presence() && !reflection.HasField(message, &field)) {
      object.emplace(field.name(), nullptr);
    } else {
      object.emplace(field.name(), value_of(message, field, 0));
    }
  }
  return object;
}

std::string serialize(const json::value& value) {
  std::string out;
  write(out, value);
  return out;
}

std::string enum_word(const pb::EnumDescriptor& type, int number) {
  const auto* value = type.FindValueByNumber(number);
  if (value == nullptr) return fmt::format("{}", number);  // a newer controller's
  std::string prefix;
  for (const char letter : type.name()) {
    if (std::isupper(static_cast<unsigned char>(letter)) != 0 && !prefix.empty()) prefix += '_';
    prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  prefix += '_';
  auto name = value->name().starts_with(prefix) ? value->name().substr(prefix.size()) : value->name();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char letter) { return static_cast<char>(std::tolower(static_cast<unsigned char>(letter))); });
  return name;
}

}  // namespace umbra::cli
