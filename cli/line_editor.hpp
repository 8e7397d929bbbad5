/// Lines typed by a person: editing, history and completion, by libedit.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/completing.hpp"

namespace umbra::cli {

/// One at a time. Ctrl-C gives up the line, Ctrl-D on an empty one ends the input.
class LineEditor {
 public:
  /// What may come after these words, the last of which is being typed.
  using Completer = std::function<std::vector<Candidate>(const std::vector<std::string>& words)>;

  /// @param history_file where lines are kept from one time to the next; empty: nowhere
  LineEditor(std::filesystem::path history_file, Completer completer);
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;
  ~LineEditor();

  /// The next line without its end; nothing at the end of the input.
  std::optional<std::string> read(const std::string& prompt);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The words of a line, with quotes and backslashes as sh has them. @error nothing when a quote is not closed
std::optional<std::vector<std::string>> words_of(const std::string& line);
/// The words before the cursor; the last one, which is being typed, may be empty.
std::vector<std::string> words_typed(const std::string& line);

}  // namespace umbra::cli
