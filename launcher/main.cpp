// The `trainer` program.
#include "launcher/cli/command_line.h"
#include "launcher/cli/process.h"
#include "launcher/cli/verbs.h"

int main(int argc, char** argv) {
  using namespace tandem::launcher;
  const auto parsed = parse_command_line(argc, argv, speaks_for_all());
  if (const int* exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const auto& [command, ranks] = std::get<CommandLine>(parsed);
  return run_process(&argc, &argv, ranks, [&](const tandem::parallel::Group& world) {
    std::visit([&](const auto& verb) { execute(verb, world); }, command);
  });
}
