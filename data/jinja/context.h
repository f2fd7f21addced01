// What one rendering shares: how much work and depth are left, where it is, and the changeable
// variables, which may refer to each other in circles and are therefore taken apart at the end.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <vector>

#include "data/jinja/value.h"

namespace tandem::data::jinja {

class Context {
 public:
  Context(const std::tm& now, std::size_t max_steps) : now_(now), max_steps_(max_steps) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // Throws Failure when the template has done more than any chat needs.
  void spend(std::size_t work);

  const std::tm& now() const { return now_; }

  int line() const { return line_; }
  // Returns the line before.
  int set_line(int line) { return std::exchange(line_, line); }

  std::shared_ptr<Variables> new_variables(std::shared_ptr<Variables> outer, bool assignable);
  // Forgets what nobody else refers to.
  void release(std::shared_ptr<Variables> variables);

  // One level of expressions, blocks and macros in each other.
  class Level {
   public:
    explicit Level(Context& context);
    ~Level() { --context_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Context& context_;
  };

 private:
  std::tm now_;
  std::size_t max_steps_;
  std::size_t spent_ = 0;
  int depth_ = 0;
  int line_ = 1;
  std::vector<std::shared_ptr<Variables>> variables_;
};

}  // namespace tandem::data::jinja
