#include "record/recent_text_keys.hpp"

#include <gtest/gtest.h>

#include <string>

namespace llmopt_stream {
namespace {

std::uint32_t intern_text(KeyDictionary& dictionary, std::string_view text) {
    std::string encoded;
    key_encoding::append_text(encoded, text);
    return dictionary.intern(encoded);
}

TEST(RecentTextKeys, FindsTextsOfEveryLengthAndNoOthers) {
    RecentTextKeys recent;
    KeyDictionary dictionary;
    for (std::size_t size = 0; size <= 40; ++size) {
        const std::string text(size, 'a');
        EXPECT_EQ(recent.find(text, dictionary), RecentTextKeys::kNone);
        const std::uint32_t key = intern_text(dictionary, text);
        recent.remember(key, dictionary);
        EXPECT_EQ(recent.find(text, dictionary), key);
        for (std::size_t i = 0; i < size; ++i) {
            std::string other = text;
            other[i] = 'b';
            EXPECT_EQ(recent.find(other, dictionary), RecentTextKeys::kNone) << size << " " << i;
        }
    }
}

TEST(RecentTextKeys, ManyTextsAreNeverMistakenForOneAnother) {
    RecentTextKeys recent;
    KeyDictionary dictionary;
    for (int i = 0; i < 5000; ++i) {
        recent.remember(intern_text(dictionary, "model-" + std::to_string(i)), dictionary);
    }
    int found = 0;
    for (int i = 0; i < 5000; ++i) {
        const std::uint32_t key = recent.find("model-" + std::to_string(i), dictionary);
        EXPECT_TRUE(key == RecentTextKeys::kNone || key == static_cast<std::uint32_t>(i));
        found += key == RecentTextKeys::kNone ? 0 : 1;
    }
    EXPECT_GT(found, 500);
}

TEST(RecentTextKeys, ATextWithAZeroByteIsNotTakenForItsEncoding) {
    using namespace std::string_view_literals;
    RecentTextKeys recent;
    KeyDictionary dictionary;
    recent.remember(intern_text(dictionary, "\0"sv), dictionary);
    EXPECT_EQ(recent.find("\0"sv, dictionary), RecentTextKeys::kNone);
    EXPECT_EQ(recent.find("\0\xFF"sv, dictionary), RecentTextKeys::kNone);
}

TEST(RecentTextKeys, NumbersAndSeveralFieldsAreNotTexts) {
    RecentTextKeys recent;
    KeyDictionary dictionary;
    std::string number;
    key_encoding::append_int(number, 0x6161616161616161);
    recent.remember(dictionary.intern(number), dictionary);
    EXPECT_FALSE(key_encoding::is_plain_text(number));
    std::string texts;
    key_encoding::append_text(texts, "a");
    EXPECT_TRUE(key_encoding::is_plain_text(texts));
    key_encoding::append_text(texts, "b");
    EXPECT_FALSE(key_encoding::is_plain_text(texts));
    EXPECT_FALSE(key_encoding::is_plain_text(""));
}

TEST(RecentTextKeys, NothingIsFoundOnceCleared) {
    RecentTextKeys recent;
    KeyDictionary dictionary;
    recent.remember(intern_text(dictionary, "gpt-4o"), dictionary);
    recent.clear();
    dictionary.clear();
    EXPECT_EQ(recent.find("gpt-4o", dictionary), RecentTextKeys::kNone);
}

}  // namespace
}  // namespace llmopt_stream
