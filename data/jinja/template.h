// A template in the language of Hugging Face chat templates: the part of Jinja that they use, run
// as transformers runs it (trim_blocks, lstrip_blocks, loop controls, the sandbox's immutable
// values, tojson as json.dumps, raise_exception, strftime_now). Not there: inheritance and
// includes, recursive loops, '*' and '**' in calls, '%' on strings, and what the files filters.cpp,
// methods.cpp and tests.cpp do not list; each is refused by name.
//
// A template comes with a model, so from anywhere: it can only compute with what it is given, and
// limits on size, depth and steps end what would not end by itself.
#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data::jinja {

// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;

  bool operator==(const TextRange&) const = default;
};

struct Rendering {
  std::string text;
  std::vector<TextRange> generations;  // what {% generation %} blocks wrote: the assistant's parts
};

class Template {
 public:
  // `origin` names the file in errors. Throws Error, in one line with the template's line number,
  // for a template that cannot be read.
  Template(std::string_view source, std::string origin);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  // `variables` is an object: what the template sees by name. `now` is what strftime_now prints.
  // Throws Error, likewise, for what goes wrong in it and for what it refuses by raise_exception.
  Rendering render_marked(const nlohmann::ordered_json& variables, const std::tm& now,
                          std::size_t max_steps = kMaxSteps) const;
  std::string render(const nlohmann::ordered_json& variables, const std::tm& now,
                     std::size_t max_steps = kMaxSteps) const {
    return render_marked(variables, now, max_steps).text;
  }
  // Whether there is a {% generation %} block anywhere in it.
  bool marks_generation() const { return marks_generation_; }

  // More than any chat needs.
  static constexpr std::size_t kMaxSteps = 20'000'000;

 private:
  struct Tree;

  std::string origin_;
  bool marks_generation_ = false;
  std::unique_ptr<Tree> tree_;
};

}  // namespace tandem::data::jinja
