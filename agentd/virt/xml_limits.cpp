#include "agentd/virt/xml_limits.hpp"

#include <algorithm>

namespace umbra::virt {
namespace {

/// A hand over the text that only moves forward.
class Scanner {
 public:
  Scanner(std::string_view xml, const XmlLimits& limits) : xml_(xml), limits_(limits) {}

  Result<void> run() {
    if (xml_.size() > limits_.bytes)
      return refuse(0, fmt::format("it is {} bytes long, at most {} are read", xml_.size(), limits_.bytes));
    const auto control = std::ranges::find_if(xml_, is_control);
    if (control != xml_.end())
      return refuse(static_cast<std::size_t>(control - xml_.begin()), "a control character; only UTF-8 text is read");
    while ((at_ = xml_.find('<', at_)) != xml_.npos) UMBRA_CHECK(markup());
    return {};
  }

 private:
  Result<void> markup() {
    const auto rest = xml_.substr(at_);
    if (rest.starts_with("<!--")) return skip_past("-->", 4);
    if (rest.starts_with("<![CDATA[")) return skip_past("]]>", 9);
    if (rest.starts_with("<?")) return skip_past("?>", 2);
    if (rest.starts_with("<!")) return refuse(at_, "a document type or entity, which no domain needs");
    if (rest.starts_with("</")) {
      if (depth_ > 0) --depth_;
      return skip_past(">", 2);
    }
    return start_tag();
  }

  Result<void> start_tag() {
    const auto begun = at_++;
    if (++elements_ > limits_.elements) return refuse(begun, fmt::format("more than {} elements", limits_.elements));
    char quote = 0;
    for (; at_ < xml_.size(); ++at_) {
      const char c = xml_[at_];
      if (c == '<') return refuse(at_, "a '<' inside a tag");
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '=') {
        if (++attributes_ > limits_.attributes)
          return refuse(at_, fmt::format("more than {} attributes", limits_.attributes));
      } else if (c == '>') {
        if (xml_[at_ - 1] != '/' && ++depth_ > limits_.depth)
          return refuse(begun, fmt::format("elements nested deeper than {}", limits_.depth));
        return {};
      }
    }
    return refuse(begun, "a tag that does not end");
  }

  Result<void> skip_past(std::string_view end, std::size_t begin) {
    const auto found = xml_.find(end, at_ + begin);
    if (found == xml_.npos) return refuse(at_, fmt::format("there is no '{}' after this", end));
    at_ = found + end.size();
    return {};
  }

  Result<void> refuse(std::size_t at, std::string_view what) const {
    const auto before = xml_.substr(0, at);
    const auto line = 1 + std::ranges::count(before, '\n');
    const auto column = before.size() - (before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1) + 1;
    return fail({Errc::kInvalid, fmt::format("domain XML, line {}, column {}: {}", line, column, what),
                 "correct the XML; virt-xml-validate tells more"});
  }

  std::string_view xml_;
  const XmlLimits& limits_;
  std::size_t at_ = 0, depth_ = 0, elements_ = 0, attributes_ = 0;
};

}  // namespace

Result<void> check_xml(std::string_view xml, const XmlLimits& limits) {
  return Scanner(xml, limits).run();
}

}  // namespace umbra::virt
