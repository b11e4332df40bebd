// A streaming GGUF writer: metadata and the list of tensors first, then the tensors' bytes in that order, in
// pieces of any size. Memory does not grow with the tensors. The file appears under its own name only when it
// is complete.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/gguf.hpp"
#include "datasets/gguf_names.hpp"

namespace greta {

class GgufWriter {
 public:
  // Version 2 or 3 (they differ in the number only, on a little-endian machine). Errors (usage): the path
  // cannot be written.
  explicit GgufWriter(std::string path, uint32_t version = 3);
  ~GgufWriter();  // an unfinished file is removed
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  // Metadata, in the order of the calls. A key set twice is an error (internal), like every misuse of the
  // writer.
  void set(std::string_view key, const GgufValue& value);
  void set_text(std::string_view key, std::string_view value);
  void set_u32(std::string_view key, uint32_t value);
  void set_f32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_texts(std::string_view key, const std::vector<std::string>& values);
  void set_i32s(std::string_view key, std::span<const int32_t> values);

  // ne[0] is the fastest axis and a multiple of the type's block.
  void add_tensor(std::string_view name, GgmlType type, std::vector<uint64_t> ne);

  // The next bytes of tensor data. The first call closes metadata and the list of tensors; a tensor's padding
  // is written by itself when its last byte has been. Errors (bad_input): the disk is full or the write
  // failed.
  void write(std::span<const std::byte> bytes);

  // Checks that every tensor is complete, flushes and gives the file its name.
  void finish();

 private:
  struct Pending {
    std::string name;
    uint64_t bytes;
  };
  void close_header();
  void put(const void* data, size_t bytes);
  void pad();
  void key(std::string_view name, GgufType type);

  std::string path_, part_path_;
  std::FILE* file_ = nullptr;
  uint32_t version_;
  uint64_t alignment_ = 32;
  uint64_t metadata_count_ = 0;
  std::vector<std::string> keys_;
  std::string metadata_, infos_;  // serialised
  std::vector<Pending> tensors_;
  uint64_t next_offset_ = 0;
  bool header_closed_ = false;
  size_t current_ = 0;     // tensor being written
  uint64_t written_ = 0;   // of its bytes
  uint64_t position_ = 0;  // in the file
};

}  // namespace greta
