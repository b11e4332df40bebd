#include "reports/html.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "reports/atomic_file.hpp"
#include "reports/page_data.hpp"
#include "reports/summary.hpp"

namespace greta::reports {

extern const std::string_view kPage;  // of the build: page/assemble.py

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  return out;
}

// JSON that ends no script element and is no broken line to an older JavaScript.
std::string embedded(const nlohmann::json& data) {
  const std::string text = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto rest = std::string_view(text).substr(i, 3);
    if (text[i] == '<') {
      out += "\\u003c";
    } else if (rest == "\u2028" || rest == "\u2029") {
      out += rest == "\u2028" ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// A title that is not UTF-8 is told with replacement characters, as JSON has it.
std::string title_of(const RunResult& run) {
  const nlohmann::json title = fmt::format("{}: {}", upper_name(verdict_of(run)), run.title);
  return nlohmann::json::parse(title.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
      .get<std::string>();
}

}  // namespace

std::string html_report(const RunResult& run) {
  constexpr std::string_view kTitle = "@TITLE@", kData = "@DATA@";
  const size_t title = kPage.find(kTitle), data = kPage.find(kData);
  std::string out(kPage.substr(0, title));
  out += escaped(title_of(run));
  out += kPage.substr(title + kTitle.size(), data - title - kTitle.size());
  out += embedded(page_data(run));
  out += kPage.substr(data + kData.size());
  return out;
}

void write_html(const RunResult& run, const std::string& path) { write_atomically(path, html_report(run)); }

}  // namespace greta::reports
