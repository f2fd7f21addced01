// Where --output goes.
#pragma once

#include <string>

namespace tandem::launcher {

// Before the hours that it may take to fill the file: throws Error where it cannot be made. Empty
// is no file.
void require_place_for(const std::string& output);

}  // namespace tandem::launcher
