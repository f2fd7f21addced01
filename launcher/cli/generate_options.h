// The options of `trainer generate` that say what is generated, and how.
#pragma once

#include <CLI/CLI.hpp>

#include "launcher/cli/command_line.h"

namespace tandem::launcher {

void add_generate_options(CLI::App& app, GenerateCommand& command);

}  // namespace tandem::launcher
