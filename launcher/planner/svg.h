// The few shapes that pictures of plans are made of.
#pragma once

#include <string>
#include <string_view>

namespace tandem::launcher {

class Svg {
 public:
  // `title` appears where a pointer rests on the shape.
  void rectangle(double x, double y, double width, double height, std::string_view color,
                 std::string_view title);
  void line(double x1, double y1, double x2, double y2, std::string_view color);
  // anchor: start, middle or end of the text is at x.
  void text(double x, double y, std::string_view text, std::string_view anchor = "start",
            double size = 12);
  // The file, for a drawing of that size.
  std::string str(double width, double height) const;

 private:
  std::string shapes_;
};

}  // namespace tandem::launcher
