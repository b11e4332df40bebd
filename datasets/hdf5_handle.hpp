// Thin checked wrappers of the HDF5 C library: a handle closes itself, a failed call throws with the
// library's own error chain. For .cpp files of this folder only: it includes hdf5.h.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

namespace greta {

// The library is not thread-safe (Debian builds it serial): every call into it is made under this lock.
// Taking it also silences the library's own printing of errors.
std::unique_lock<std::recursive_mutex> lock_hdf5();

// "H5Gopen2: can't open group: object 'x' doesn't exist": the outermost and the innermost entry of the error
// stack, which is emptied.
std::string hdf5_error_text();

// Throws Error (bad_input) "{what}: {the library's reason}".
[[noreturn]] void fail_hdf5(const std::string& what);

template <herr_t (*Close)(hid_t)>
class Hdf5Handle {
 public:
  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, const std::string& what) : id_(id) {
    if (id_ < 0) fail_hdf5(what);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Hdf5Handle() {
    if (id_ >= 0) Close(id_);
  }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using Hdf5File = Hdf5Handle<H5Fclose>;
using Hdf5Group = Hdf5Handle<H5Gclose>;
using Hdf5Dataset = Hdf5Handle<H5Dclose>;
using Hdf5Object = Hdf5Handle<H5Oclose>;
using Hdf5Attribute = Hdf5Handle<H5Aclose>;
using Hdf5Type = Hdf5Handle<H5Tclose>;
using Hdf5Space = Hdf5Handle<H5Sclose>;
using Hdf5Properties = Hdf5Handle<H5Pclose>;

// For calls that return a herr_t, a size or a truth value: negative is failure.
template <typename T>
T check_hdf5(T result, const char* what) {
  if (result < 0) fail_hdf5(what);
  return result;
}

}  // namespace greta
