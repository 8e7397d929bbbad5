/// What may come next on a command line: for the shells' scripts, which ask `umbractl complete -- WORDS`, and for
/// umbractl's own shell.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace umbra::cli {

/// A word that may stand there, and what it does; `about` is empty of names.
struct Candidate {
  std::string word;
  std::string about;
};

/// What is wanted at the end of a command line.
struct Wanted {
  std::string typed;                  ///< of the last word, so far
  std::string before;                 ///< of the last word, but not part of the value: "--to="
  std::vector<Candidate> candidates;  ///< all that the parser knows for this place
  std::string kind;                   ///< of a name that the fleet knows: contains VM, HOST, ZONE or ACCOUNT
  bool files = false;
  std::vector<std::string> global;  ///< global options and their values, given before
};

/// @param words after the program's name; the last one is being typed, and may be empty
Wanted what_is_wanted(const CLI::App& root, const std::vector<std::string>& words);

/// All that may stand there and begins with what was typed; asks the controller for names, for a second at most.
/// Names that a shell might not take as they are, are left out: it would run "$(…)" at a press of TAB.
/// Silent: what cannot be found out is not offered.
std::vector<Candidate> complete(const Wanted& wanted);

}  // namespace umbra::cli
