/// The small print of SVG: text and numbers that make well-formed files whatever they are given.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace umbra::cli {

/// Valid UTF-8 of characters that XML 1.0 allows and that steer no reader: what is not – broken sequences, control
/// characters, marks that turn the direction of text, characters of no width – becomes U+FFFD; tabs and line breaks
/// become blanks.
std::string legible(std::string_view text);

/// legible() text, cut to about `width` pixels at a font size, with an ellipsis where something is missing.
std::string shortened(std::string_view text, double width, double font_size);

/// For element content and attribute values alike: legible(), with XML's own characters escaped.
std::string xml_text(std::string_view text);

/// Pixels that a text takes at most in usual sans-serif fonts: a picture does not know its reader's fonts.
double text_width(std::string_view text, double font_size);

/// A coordinate: a tenth of a pixel is enough. Never "nan" or "inf": those become 0.
std::string coordinate(double value);

}  // namespace umbra::cli
