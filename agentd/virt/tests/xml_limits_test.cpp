#include "agentd/virt/xml_limits.hpp"

#include <gtest/gtest.h>

#include "agentd/virt/domain_xml.hpp"

namespace umbra::virt {
namespace {

std::string repeated(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(XmlLimits, half_a_million_nested_tags_are_refused_and_end_nobody) {
  const auto bomb = "<domain>" + repeated("<a>", 200'000) + repeated("</a>", 200'000);
  const auto hidden = "<domain><name>x</name><memory>1024</memory><description>" + repeated("<a>", 500'000) +
                      repeated("</a>", 500'000) + "</description></domain>";  // which is removed, level by level
  for (const auto& text : {bomb, hidden, "<domain>" + repeated("<a>", 340'000), repeated("<a>", 500'000)}) {
    const auto domain = parse_domain(text);
    ASSERT_FALSE(domain);
    EXPECT_EQ(domain.error().code, Errc::kInvalid);
    EXPECT_FALSE(shadow_xml(text));
    EXPECT_FALSE(clean_xml(text));
  }
}

TEST(XmlLimits, depth_counts_open_elements_alone) {
  const XmlLimits three{.depth = 3};
  EXPECT_TRUE(check_xml("<a><b><c/><c></c></b><b><c><d/></c></b></a>", three));
  EXPECT_FALSE(check_xml("<a><b><c><d></d></c></b></a>", three));
}

TEST(XmlLimits, nothing_can_make_the_depth_look_less_than_it_is) {
  const XmlLimits two{.depth = 2};
  for (const auto* text : {
           "<a><b><!-- </b></a> --><c></c></b></a>",     // in a comment
           "<a><b><![CDATA[</b></a>]]><c></c></b></a>",  // in a text
           "<a><b><?pi </b></a>?><c></c></b></a>",       // in an instruction
           "<a><b x='/>'><c></c></b></a>",               // in a value
           "<a><b x=\"</b></a>\"><c></c></b></a>",       // which XML does not allow either
           "<a><b x='\"/>' y=\"'/>\"><c></c></b></a>",
       })
    EXPECT_FALSE(check_xml(text, two)) << text;
}

TEST(XmlLimits, elements_attributes_and_bytes_are_counted) {
  EXPECT_TRUE(check_xml("<a><b/><b/></a>", {.elements = 3}));
  EXPECT_FALSE(check_xml("<a><b/><b/></a>", {.elements = 2}));
  EXPECT_TRUE(check_xml("<a b='=' c='='/>", {.attributes = 2}));
  EXPECT_FALSE(check_xml("<a b='' c='' d=''/>", {.attributes = 2}));
  EXPECT_FALSE(check_xml(std::string(11, ' '), {.bytes = 10}));
}

TEST(XmlLimits, no_document_types_no_entities_no_other_encodings) {
  const auto laughs = R"(<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><domain>&b;</domain>)";
  EXPECT_FALSE(check_xml(laughs));
  using namespace std::string_literals;
  EXPECT_FALSE(check_xml("<\0d\0/\0>\0"s)) << "UTF-16";
  EXPECT_FALSE(check_xml("<d>\x1b[31m</d>"));
  EXPECT_TRUE(check_xml("<?xml version='1.0' encoding='UTF-8'?>\r\n<d>\tgr\xc3\xbc\xc3\x9f</d>\n"));
}

TEST(XmlLimits, what_does_not_end_is_refused_with_its_place) {
  for (const auto* text : {"<a", "<a b='", "<!-- ", "<![CDATA[ ", "<?x ", "</a"}) EXPECT_FALSE(check_xml(text)) << text;
  const auto place = check_xml("<a>\n  <b\n  <c/></a>");
  ASSERT_FALSE(place);
  EXPECT_NE(place.error().message.find("line 3, column 3"), std::string::npos) << place.error().message;
}

}  // namespace
}  // namespace umbra::virt
