// Turns the JSON lines that bench/run.sh has collected into one JSON document and a table of ours,
// the peer's and the ratio:
//
//   bench_table LINES.jsonl RESULT.json
//
// Every line carries "row" (what was measured) and "side" ("ours" or "peer"). A row without a peer
// has no ratio. Of several lines with equal row and side the one with most tokens per second counts
// (alternating runs on a machine that has other work).
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/support.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace {

using nlohmann::ordered_json;
namespace bench = tandem::bench;

struct Row {
  std::string name;
  ordered_json ours, peer;  // null where not measured
};

bool better(const ordered_json& line, const ordered_json& than) {
  return than.is_null() || line["tokens_per_s"] > than["tokens_per_s"];
}

std::vector<Row> read_rows(const std::string& path) {
  std::ifstream file(path);
  if (!file) tandem::runtime::throw_error("{}: cannot be read", path);
  std::vector<Row> rows;
  for (std::string text; std::getline(file, text);) {
    const ordered_json line = tandem::runtime::parse_ordered_json(text);
    const std::string name = line["row"];
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == name; });
    if (row == rows.end()) row = rows.insert(row, {name, {}, {}});
    ordered_json& side = line["side"] == "ours" ? row->ours : row->peer;
    if (better(line, side)) side = line;
  }
  return rows;
}

std::string number(const ordered_json& line, const char* key) {
  return line.is_null() || !line.contains(key) ? "-"
                                               : fmt::format("{:.0f}", line[key].get<double>());
}

std::string ratio(const ordered_json& a, const ordered_json& b, const char* key) {
  const bool both = a.is_object() && b.is_object() && a.contains(key) && b.contains(key);
  if (!both || b.at(key) == 0) return "-";
  return fmt::format("{:.2f}", a[key].get<double>() / b[key].get<double>());
}

void print_table(const std::vector<Row>& rows) {
  std::printf("%-34s %9s %9s %6s   %9s %9s %6s\n", "", "ours", "peer", "ratio", "ours", "peer",
              "ratio");
  std::printf("%-34s %9s %9s %6s   %9s %9s %6s\n", "", "tok/s", "tok/s", "", "MiB", "MiB", "");
  for (const Row& row : rows)
    std::printf("%-34s %9s %9s %6s   %9s %9s %6s\n", row.name.c_str(),
                number(row.ours, "tokens_per_s").c_str(), number(row.peer, "tokens_per_s").c_str(),
                ratio(row.ours, row.peer, "tokens_per_s").c_str(),
                number(row.ours, "steady_peak_rss_mib").c_str(),
                number(row.peer, "steady_peak_rss_mib").c_str(),
                ratio(row.ours, row.peer, "steady_peak_rss_mib").c_str());
}

void write_document(const std::vector<Row>& rows, const std::string& path) {
  ordered_json document = ordered_json::array();
  for (const Row& row : rows) {
    ordered_json entry = {{"row", row.name}, {"ours", row.ours}, {"peer", row.peer}};
    if (!row.ours.is_null() && !row.peer.is_null())
      entry["ratio"] =
          row.ours["tokens_per_s"].get<double>() / row.peer["tokens_per_s"].get<double>();
    document.push_back(entry);
  }
  std::ofstream file(path);
  file << tandem::runtime::json_text(document, 2) << '\n';
  if (!file.flush()) tandem::runtime::throw_environment_error("{}: cannot be written", path);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_main([&] {
    if (argc != 3)
      tandem::runtime::throw_error("bench_table takes two files: LINES.jsonl RESULT.json");
    const std::vector<Row> rows = read_rows(argv[1]);
    write_document(rows, argv[2]);
    print_table(rows);
  });
}
