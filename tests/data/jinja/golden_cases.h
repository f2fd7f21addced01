// Chats and clock of tests/golden/chat_templates.py.
#pragma once

#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/io/text_file.h"

namespace tandem::data::jinja {

using Json = nlohmann::ordered_json;

inline Json read_golden(const std::string& name) {
  return Json::parse(runtime::read_text_file("tests/golden/data/" + name));
}

inline std::tm fixed_clock(const std::vector<int>& now) {
  std::tm time{};
  time.tm_year = now[0] - 1900;
  time.tm_mon = now[1] - 1;
  time.tm_mday = now[2];
  time.tm_hour = now[3];
  time.tm_min = now[4];
  time.tm_sec = now[5];
  time.tm_isdst = -1;
  std::mktime(&time);  // fills in the weekday and the day of the year
  return time;
}

// What a template sees of a chat of chat_templates.json.
inline Json variables_of(const Json& golden, const std::string& chat, bool tools, bool prompt) {
  Json variables = golden["tokens"];
  variables["messages"] = golden["chats"][chat];
  variables["tools"] = tools ? golden["tools"] : Json();
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = prompt;
  return variables;
}

}  // namespace tandem::data::jinja
