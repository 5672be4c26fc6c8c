#include "state/checkpoint_manifest.hpp"

#include <gtest/gtest.h>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

CheckpointManifest example() {
    return {7, 1'700'000'000'000'000, -1, "body", {{"000009.sst", 3, {1, 2}}, {"CURRENT", 16, {3, 4}}}};
}

std::string bytes_of_hex(std::string_view hex) {
    std::string bytes;
    for (std::size_t at = 0; at < hex.size(); at += 2) {
        bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16)));
    }
    return bytes;
}

void expect_example(const CheckpointManifest& manifest) {
    EXPECT_EQ(manifest.id, 7u);
    EXPECT_EQ(manifest.created, 1'700'000'000'000'000);
    EXPECT_EQ(manifest.expired_before, -1);
    EXPECT_EQ(manifest.manifest, "body");
    ASSERT_EQ(manifest.files.size(), 2u);
    EXPECT_EQ(manifest.files[0].name, "000009.sst");
    EXPECT_EQ(manifest.files[0].size, 3u);
    EXPECT_EQ(manifest.files[1].digest, (FileDigest{3, 4}));
    EXPECT_EQ(manifest.bytes(), 23u);
}

TEST(CheckpointManifest, DecodesWhatWasEncoded) {
    expect_example(CheckpointManifest::decode(example().encode()));
    EXPECT_TRUE(CheckpointManifest::decode(CheckpointManifest{}.encode()).files.empty());
}

TEST(CheckpointManifest, ReadsTheBytesOfFormatVersion1) {
    expect_example(CheckpointManifest::decode(
        bytes_of_hex("4c4c433101000000070000000000000000401e18240a0600ffffffffffffffff0400000000000000"
                     "626f647902000000000000000a000000000000003030303030392e73737403000000000000000100"
                     "0000000000000200000000000000070000000000000043555252454e541000000000000000030000"
                     "00000000000400000000000000d5e1c3c86d5e9186")));
}

TEST(CheckpointManifest, RefusesEveryTruncationAndEveryFlippedBit) {
    const std::string encoded = example().encode();
    for (std::size_t size = 0; size < encoded.size(); ++size) {
        EXPECT_THROW((void)CheckpointManifest::decode(encoded.substr(0, size)), Error) << size;
    }
    for (std::size_t bit = 0; bit < 8 * encoded.size(); ++bit) {
        std::string altered = encoded;
        altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_THROW((void)CheckpointManifest::decode(altered), Error) << bit;
    }
}

TEST(CheckpointManifest, RefusesNamesThatLeadOutOfTheCheckpoint) {
    for (const std::string& name : {std::string("../000009.sst"), std::string(".."),
                                    std::string("/etc/passwd"), std::string(), std::string("a\0b", 3)}) {
        CheckpointManifest manifest = example();
        manifest.files[0].name = name;
        EXPECT_THROW((void)CheckpointManifest::decode(manifest.encode()), Error) << name;
    }
}

}  // namespace
}  // namespace llmopt_stream
