/// JSON for programs. Field names are those of the proto files; numbers are numbers, also 64-bit ones (protobuf's own
/// mapping makes them strings); enum values are their lower-case word ("warm"); an absent message is null.
#pragma once

#include <google/protobuf/message.h>

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

namespace umbra::cli {

/// Every field of the message, also those that have their default value.
boost::json::value to_json(const google::protobuf::Message& message);

/// One line without a newline. Numbers are written the way people do (12.5, not 1.25E1).
std::string serialize(const boost::json::value& value);

/// "warm" for TIER_WARM: what is left of an enum value's name without its type's prefix, in lower case.
std::string enum_word(const google::protobuf::EnumDescriptor& type, int number);
template <class Enum>
std::string word(Enum value) {
  return enum_word(*google::protobuf::GetEnumDescriptor<Enum>(), static_cast<int>(value));
}

}  // namespace umbra::cli
