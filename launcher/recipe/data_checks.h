// What a recipe says about data, checked before anything is done with it.
#pragma once

#include <functional>
#include <string>

#include "data/config.h"

namespace tandem::launcher {

// Calls `complain` with a sentence for what is wrong with a source: its values, or files that are
// not there.
void check_data(const data::DataConfig& config,
                const std::function<void(const std::string& sentence)>& complain);
// The same for every source; `key` is "" or "sources.0", ….
void check_blend(
    const data::BlendConfig& config,
    const std::function<void(const std::string& key, const std::string& sentence)>& complain);
// A file that must exist.
void check_file(const std::string& file,
                const std::function<void(const std::string& sentence)>& complain);

}  // namespace tandem::launcher
