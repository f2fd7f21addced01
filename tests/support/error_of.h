// What a user would read of an action that is to fail.
#pragma once

#include <functional>
#include <string>

#include "runtime/base/error.h"

namespace tandem::test {

// The Error's text; "no error" where there is none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const runtime::Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace tandem::test
