/// Talking with the controller.
#pragma once

#include <functional>

#include "cli/command.hpp"
#include "umbra/v1/controller.rpc.hpp"

namespace umbra::cli {

/// What is said over one connection; ends with the process's exit status.
using Conversation = std::function<Task<ExitCode>(v1::FleetClient fleet)>;

/// Connects to the controller, holds the conversation, closes. Blocks; SIGINT and SIGTERM end it with kInterrupted,
/// which takes back nothing that the controller has begun.
Outcome talk(const Context& context, Conversation conversation);

/// A method of FleetClient with one answer, and what shows the answer.
template <class Request, class Reply>
using Question = Task<Reply> (v1::FleetClient::*)(Request, Deadline);
template <class Reply>
using Show = std::function<ExitCode(const Reply&)>;

template <class Request, class Reply>
Task<ExitCode> ask_and_show(v1::FleetClient fleet, Question<Request, Reply> question, Request request,
                            Deadline deadline, Show<Reply> show) {
  UMBRA_CO_TRY(const auto reply, co_await (fleet.*question)(std::move(request), deadline));
  co_return show(reply);
}

/// The most common conversation: one question, one answer.
template <class Request, class Reply>
Outcome ask(const Context& context, Question<Request, Reply> question, Request request, Show<Reply> show) {
  return talk(context, [&](v1::FleetClient fleet) {
    return ask_and_show<Request, Reply>(fleet, question, request, context.settings.timeout, show);
  });
}

}  // namespace umbra::cli
