// What each command does. All are collective over the process's ranks and throw Error.
#pragma once

#include "launcher/cli/command_line.h"
#include "parallel/comm/communicator.h"

namespace tandem::launcher {

void execute(const RunCommand& command, const parallel::Group& world);
void execute(const ValidateCommand& command, const parallel::Group& world);
void execute(const PlanCommand& command, const parallel::Group& world);
void execute(const GenerateCommand& command, const parallel::Group& world);
void execute(const EmbedCommand& command, const parallel::Group& world);
void execute(const ExportCommand& command, const parallel::Group& world);
void execute(const InspectCommand& command, const parallel::Group& world);
void execute(const ConvertCommand& command, const parallel::Group& world);
void execute(const TokenizeCommand& command, const parallel::Group& world);
void execute(const DocsCommand& command, const parallel::Group& world);

}  // namespace tandem::launcher
