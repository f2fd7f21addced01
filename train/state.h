// Everything a run needs to go on, besides tensors: each part registers how it is written and read
// under a name, and the checkpoint holds them all in one file. What is not registered is not state.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::train {

class StateRegistry {
 public:
  using Save = std::function<std::string()>;
  using Load = std::function<void(std::string_view)>;

  // The text is the part's own affair; it must read back to the same bits.
  void add(std::string name, Save save, Load load);

  // All parts as one JSON object.
  std::string save() const;
  // Throws Error naming `origin` when a registered part is missing there, or one there is not
  // registered here: a resume never drops state silently.
  void load(const std::string& json, const std::string& origin) const;

 private:
  struct Part {
    std::string name;
    Save save;
    Load load;
  };
  std::vector<Part> parts_;
};

}  // namespace tandem::train
