// hello.cpp - answers {"name":"Ada"} with {"greeting":"Hello, Ada!"}. What it throws becomes the
// error of the invocation: thrown on into C it would end the process.
//
// SPDX-License-Identifier: MIT-0
#include <stdexcept>
#include <string>
#include <string_view>

using say_answer = void(void *to, const char *type, const char *bytes, size_t length);

static std::string greet(std::string_view event) {
    constexpr std::string_view before = "{\"name\":\"";
    if (event.substr(0, before.size()) != before)
        throw std::invalid_argument("expected {\"name\":\"Ada\"}");
    event.remove_prefix(before.size());
    return "{\"greeting\":\"Hello, " + std::string(event.substr(0, event.find('"'))) + "!\"}";
}

extern "C" void handle_event(const char *event, size_t length, say_answer *say, void *to) {
    try {
        std::string answer = greet({event, length});
        say(to, nullptr, answer.data(), answer.size());
    } catch (const std::exception &e) {
        std::string message = e.what();
        say(to, "Function.Exception", message.data(), message.size());
    }
}
