// trainer RECIPE, trainer validate, trainer docs.
#include "launcher/stages/run.h"

#include <cstdio>
#include <filesystem>

#include "launcher/cli/verbs.h"
#include "launcher/planner/refusal.h"
#include "launcher/recipe/checks.h"
#include "launcher/recipe/recipe.h"
#include "launcher/recipe/reference.h"
#include "launcher/recipe/writer.h"
#include "parallel/comm/device/choice.h"
#include "parallel/comm/device/device_group.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/kernels/backend.h"
#include "train/interrupt.h"

namespace tandem::launcher {

void execute(const RunCommand& command, const parallel::Group& world) {
  train::catch_interruptions();
  const Recipe recipe = load_recipe(command.recipe, command.overrides, world.size());
  require_valid(recipe, world.size());
  const runtime::Device device =
      parallel::choose_device(recipe.device, recipe.origins.of("device"), world);
  runtime::backend_of(device).set_options(recipe.device_options);
  require_memory(recipe, world, device);
  run_recipe(recipe, parallel::device_group(world, device), device);
}

void execute(const ValidateCommand& command, const parallel::Group& world) {
  const std::optional<std::int64_t> ranks = command.ranks || world.size() == 1
                                                ? command.ranks
                                                : std::optional<std::int64_t>(world.size());
  const Recipe recipe = load_recipe(command.recipe, command.overrides, ranks);
  const std::vector<std::string> problems = find_problems(recipe, ranks);
  if (world.rank() == 0) {
    if (command.print) std::fputs(to_yaml(recipe).c_str(), stdout);
    for (std::size_t i = 1; i < problems.size(); ++i)
      std::fprintf(stderr, "trainer: %s\n", problems[i].c_str());
  }
  if (!problems.empty()) throw runtime::Error(problems.front());
  if (world.rank() == 0 && !command.print)
    std::printf("%s: no problem found in %zu stages%s\n", command.recipe.c_str(),
                recipe.stages.size(),
                ranks ? fmt::format(" on {} rank{}", *ranks, *ranks == 1 ? "" : "s").c_str()
                      : " (with --ranks N, layouts and placement are checked too)");
}

void execute(const DocsCommand& command, const parallel::Group& world) {
  if (world.rank() == 0) runtime::write_file_atomically(command.output, recipe_reference());
}

}  // namespace tandem::launcher
