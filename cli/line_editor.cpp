#include "cli/line_editor.hpp"

#include <fmt/format.h>
#include <histedit.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

namespace umbra::cli {
namespace {

constexpr int kMostHistory = 1000;

struct EndTokens {
  void operator()(Tokenizer* tokens) const { ::tok_end(tokens); }
};

/// The words of a text; nothing when a quote is not closed.
std::optional<std::vector<std::string>> tokenize(const std::string& text) {
  const std::unique_ptr<Tokenizer, EndTokens> tokens(::tok_init(nullptr));
  int count = 0;
  const char** words = nullptr;
  if (::tok_str(tokens.get(), text.c_str(), &count, &words) != 0) return std::nullopt;
  return std::vector<std::string>(words, words + count);
}

/// What all words begin with.
std::string common_beginning(const std::vector<Candidate>& all) {
  auto common = all.front().word;
  for (const auto& each : all) {
    const auto [end, other] = std::ranges::mismatch(common, each.word);
    common.erase(end, common.end());
  }
  return common;
}

/// Restores what these signals did before: asking the controller takes them, and then gives them back as unhandled.
class KeptSignals {
 public:
  KeptSignals() {
    ::sigaction(SIGINT, nullptr, &interrupt_);
    ::sigaction(SIGTERM, nullptr, &terminate_);
  }
  KeptSignals(const KeptSignals&) = delete;
  KeptSignals& operator=(const KeptSignals&) = delete;
  ~KeptSignals() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
  }

 private:
  struct sigaction interrupt_ {};
  struct sigaction terminate_ {};
};

}  // namespace

struct LineEditor::State {
  struct EndEditor {
    void operator()(EditLine* editor) const { ::el_end(editor); }
  };
  struct EndHistory {
    void operator()(History* history) const { ::history_end(history); }
  };

  std::string prompt;
  std::filesystem::path history_file;
  Completer completer;
  std::unique_ptr<History, EndHistory> history;
  std::unique_ptr<EditLine, EndEditor> editor;
  HistEvent event{};

  static State& of(EditLine* editor) {
    void* data = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<State*>(data);
  }
  static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }

  /// At TAB: completes what is certain; when that is nothing more, shows what may follow.
  static unsigned char complete(EditLine* editor, int) {
    const auto* line = ::el_line(editor);
    const auto words = words_typed(std::string(line->buffer, line->cursor));
    const auto found = [&] {
      const KeptSignals kept;
      return of(editor).completer(words);
    }();
    if (found.empty()) return CC_REFRESH_BEEP;
    auto more = common_beginning(found);
    more.erase(0, words.back().size());
    if (found.size() == 1) more += ' ';
    if (!more.empty()) return ::el_insertstr(editor, more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    std::string list = "\n";
    for (const auto& each : found) list += each.word + "  ";
    fmt::print("{}\n", list);
    return CC_REDISPLAY;
  }

  /// At Ctrl-C: a new line. It is a key and no signal here, which would be lost between two reads.
  static unsigned char cancel(EditLine* editor, int) {
    const auto* line = ::el_line(editor);
    ::el_cursor(editor, static_cast<int>(line->lastchar - line->cursor));
    ::el_deletestr(editor, static_cast<int>(line->lastchar - line->buffer));
    fmt::print("\n");
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(std::filesystem::path history_file, Completer completer) : state_(std::make_unique<State>()) {
  auto& state = *state_;
  state.history_file = std::move(history_file);
  state.completer = std::move(completer);
  state.history.reset(::history_init());
  state.editor.reset(::el_init("umbractl", stdin, stdout, stderr));
  ::history(state.history.get(), &state.event, H_SETSIZE, kMostHistory);
  ::history(state.history.get(), &state.event, H_SETUNIQUE, 1);
  if (!state.history_file.empty()) ::history(state.history.get(), &state.event, H_LOAD, state.history_file.c_str());
  auto* editor = state.editor.get();
  ::el_set(editor, EL_CLIENTDATA, &state);
  ::el_set(editor, EL_PROMPT, &State::show_prompt);
  ::el_set(editor, EL_EDITOR, "emacs");
  ::el_set(editor, EL_SIGNAL, 1);
  ::el_set(editor, EL_HIST, &::history, state.history.get());
  ::el_set(editor, EL_ADDFN, "complete", "Complete a word", &State::complete);
  ::el_set(editor, EL_BIND, "^I", "complete", nullptr);
  ::el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  ::el_set(editor, EL_ADDFN, "cancel", "Give up the line", &State::cancel);
  ::el_set(editor, EL_BIND, "^C", "cancel", nullptr);
  ::el_source(editor, nullptr);  // ~/.editrc
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  auto& state = *state_;
  state.prompt = prompt;
  int count = 0;
  ::el_set(state.editor.get(), EL_PREP_TERM, 1);  // before the prompt is seen, or what answers it at once is lost
  const char* typed = ::el_gets(state.editor.get(), &count);
  if (typed == nullptr || count <= 0) return std::nullopt;
  std::string line(typed, static_cast<std::size_t>(count));
  line.erase(line.find_last_not_of("\r\n") + 1);
  if (line.find_first_not_of(" \t") == std::string::npos) return line;
  ::history(state.history.get(), &state.event, H_ENTER, line.c_str());
  if (!state.history_file.empty()) ::history(state.history.get(), &state.event, H_SAVE, state.history_file.c_str());
  return line;
}

std::optional<std::vector<std::string>> words_of(const std::string& line) {
  return tokenize(line);
}

std::vector<std::string> words_typed(const std::string& line) {
  const bool begins_word = line.empty() || line.back() == ' ' || line.back() == '\t';
  auto words = tokenize(line).value_or(std::vector<std::string>{});
  if (begins_word || words.empty()) words.emplace_back();
  return words;
}

}  // namespace umbra::cli
