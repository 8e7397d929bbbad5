/// What umbractl makes of a command line: the habits of other tools understood, mistakes told in words.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace umbra::cli {

/// "help shadow keep" as the parser knows it: "shadow keep --help". Anything else is left as it is.
std::vector<std::string> spelled_out(const CLI::App& app, std::vector<std::string> words);

/// What the parser refused, in words and with what may have been meant.
Error usage_error(const CLI::App& app, const CLI::ParseError& problem);

/// Whether these words ask for JSON. Looks at them without the parser, which may have refused them.
bool asks_for_json(const std::vector<std::string>& words);

}  // namespace umbra::cli
