/// How a move went and how it ended.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "cli/progress.hpp"
#include "umbra/v1/controller.pb.h"

namespace umbra::cli {

/// The object that `cutover` and `migrate` print: vm, from, to, epoch, blackout_ms, reach_ms, phases, outcome,
/// blackout_error_ms, detail, reason. Scripts rely on it: names and meanings never change.
boost::json::value move_json(const v1::CutoverResult& result);

/// The same for people, a paragraph and the table of phases.
std::string move_text(const v1::CutoverResult& result, bool colour);

ProgressState progress_of(const v1::MoveProgress& move);
ProgressState progress_of(const v1::Shadow& shadow);

}  // namespace umbra::cli
