/// Why a VM may have to move, cause by cause.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "umbra/v1/controller.pb.h"

namespace umbra::cli {

/// Each cause's share of the migration probability; they add up to 1, or are all 0 when nothing speaks for a move.
/// The probability is a noisy-OR, 1 − Π(1 − p): the survival probabilities multiply, so their logarithms add, and a
/// cause's share is ln(1 − p) over the sum. Certain causes (p = 1) share everything among themselves.
std::vector<double> shares(const google::protobuf::RepeatedPtrField<v1::Cause>& causes);

/// WhyReply as JSON, with "share" added to every cause.
boost::json::value why_json(const v1::WhyReply& reply);

/// WhyReply in words.
std::string why_text(const v1::WhyReply& reply, std::int64_t now_unix_ms, bool colour);

}  // namespace umbra::cli
