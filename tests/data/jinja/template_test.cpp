// Promises of data/jinja/template.h that jinja2 does not make: errors in one line, and that every
// template ends.
#include "data/jinja/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/data/support.h"

namespace tandem::data::jinja {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& source, std::size_t max_steps = Template::kMaxSteps) {
  return testing::error_of([&] { Template(source, "t").render({{"n", 7}}, std::tm{}, max_steps); });
}

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(JinjaTemplate, errors_name_line_and_what_was_expected) {
  EXPECT_EQ(error_of("a\n{{ n + }}"),
            "t: line 2 of the chat template: expected an expression, found '}}'");
  EXPECT_EQ(error_of("{{ n\n"), "t: line 1 of the chat template: a '{{' without its '}}'");
  EXPECT_EQ(error_of("{% for x of n %}"),
            "t: line 1 of the chat template: expected 'in', found 'of'");
  EXPECT_EQ(error_of("\n{{ n | frobnicate }}"),
            "t: line 2 of the chat template: the filter 'frobnicate' is not supported");
  EXPECT_EQ(error_of("{% set x = 1 %}\n\n{{ x + (\nmissing.name) }}"),
            "t: line 4 of the chat template: 'missing' is undefined");
  EXPECT_THAT(error_of("{{ n.x.y }}"), HasSubstr("'x' is undefined"));
  EXPECT_THAT(error_of("{{ [1].append(2) }}"), HasSubstr("there is no function 'append' here"));
  EXPECT_THAT(error_of("{{ f(*n) }}"), HasSubstr("'*' and '**' are not supported"));
}

TEST(JinjaTemplate, every_template_ends) {
  const std::string rounds = "{% for a in range(99999) %}{% for b in range(99999) %}";
  const std::string ends = "{% endfor %}{% endfor %}";
  const std::string ns = "{% set ns = namespace(x=['a'], s='a', d=none) %}";
  const std::size_t few = 200'000;  // as certain an end as the default, and sooner
  EXPECT_THAT(error_of(rounds + ends, few), HasSubstr("did not end within 200000 steps"));
  // A long text counts for many steps.
  EXPECT_THAT(error_of(ns + rounds + "{% set ns.s = ns.s ~ ns.s %}" + ends),
              HasSubstr("did not end within 20000000 steps"));
  EXPECT_THAT(error_of(ns + rounds + "{% set ns.x = [ns.x, ns.x] %}" + ends), HasSubstr("grows"));
  EXPECT_THAT(error_of(ns + rounds + "{% set ns.x = [ns.x] %}" + ends), HasSubstr("deep"));
  EXPECT_THAT(error_of(ns + rounds + "{% set ns.d = namespace(d=ns.d) %}" + ends, few),
              HasSubstr("did not end"));
  EXPECT_THAT(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("deep"));
  EXPECT_THAT(error_of("{{ 'x' * 10 ** 12 }}"), HasSubstr("grows"));
  EXPECT_THAT(error_of("{{ ('x' * 10 ** 6).replace('', 'y' * 10 ** 6) }}"), HasSubstr("grows"));
  EXPECT_THAT(error_of("{{ 2 ** 64 }}"), HasSubstr("too large"));
  EXPECT_THAT(error_of("{{ " + repeated("(", 10000) + repeated(")", 10000) + "}}"),
              HasSubstr("deep"));
  EXPECT_THAT(error_of("{{ " + repeated("[", 10000) + repeated("]", 10000) + "}}"),
              HasSubstr("deep"));
  EXPECT_THAT(error_of("{{ " + repeated("-", 10000) + "1 }}"), HasSubstr("levels"));
  EXPECT_THAT(error_of("{{ 1" + repeated("+1", 10000) + " }}"), HasSubstr("levels"));
  EXPECT_THAT(error_of("{{ n" + repeated(".a", 10000) + " }}"), HasSubstr("levels"));
  EXPECT_THAT(error_of(repeated("{% if n %}", 10000)), HasSubstr("deep"));
  EXPECT_THAT(error_of("{% for " + repeated("(", 10000) + repeated(")", 10000) + "%}"),
              HasSubstr("parentheses"));
}

// Namespaces and macros that refer to themselves are released (seen by the leak checker).
TEST(JinjaTemplate, circles_are_released) {
  const std::string circle =
      "{% set ns = namespace() %}{% set ns.me = ns %}{% macro f() %}x{% endmacro %}"
      "{% set ns.f = f %}{{ ns.me.me.f() }}";
  EXPECT_EQ(Template(circle, "t").render(nlohmann::ordered_json::object(), std::tm{}), "x");
}

}  // namespace
}  // namespace tandem::data::jinja
