// What a process needs to find the coordinator of its run and to be recognised by it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::launcher {

// Raised when a process of an older build would misunderstand a newer one.
inline constexpr std::uint32_t kProtocolVersion = 1;

struct RunTicket {
  std::string endpoint;  // "127.0.0.1:41235"
  std::string run_id;

  // "127.0.0.1:41235/9f86d081884c7d65": what rank 0 broadcasts to the others.
  std::string str() const { return endpoint + "/" + run_id; }
};

// Throws Error (usage) for text that str() did not write.
RunTicket parse_run_ticket(std::string_view text);

// 16 hexadecimal digits from the system's entropy.
std::string new_run_id();

}  // namespace tandem::launcher
