"""A small GGUF parser of its own for the tests: where each section, key and tensor lies, so that a test can break exactly one."""
import struct

SCALAR = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Gguf:
    def __init__(self, data):
        self.data = bytearray(data)
        self.tensor_count, self.kv_count = struct.unpack_from("<QQ", data, 8)
        self.at = 24
        self.keys, self.tensors = {}, {}
        for _ in range(self.kv_count):
            start, key = self.at, self._string()
            kind = self._u32()
            value = self.at
            self._skip(kind)
            self.keys[key] = {"start": start, "type": kind, "value": value, "end": self.at}
        self.infos = self.at
        for _ in range(self.tensor_count):
            start, name = self.at, self._string()
            dims_at = self.at
            dims = self._u32()
            shape_at = self.at
            self.at += 8 * dims
            self.tensors[name] = {"start": start, "dims": dims_at, "shape": shape_at, "type": self.at,
                                  "offset": self.at + 4, "end": self.at + 12}
            self.at += 12
        self.data_start = (self.at + 31) // 32 * 32

    def _u32(self):
        self.at += 4
        return struct.unpack_from("<I", self.data, self.at - 4)[0]

    def _u64(self):
        self.at += 8
        return struct.unpack_from("<Q", self.data, self.at - 8)[0]

    def _string(self):
        length = self._u64()
        self.at += length
        return bytes(self.data[self.at - length:self.at]).decode("utf-8", "surrogateescape")

    def _skip(self, kind):
        if kind == 8:
            self._string()
        elif kind == 9:
            inner, count = self._u32(), self._u64()
            for _ in range(count):
                self._skip(inner)
        else:
            self.at += SCALAR[kind]

    def tensor_data(self, name):
        return self.data_start + struct.unpack_from("<Q", self.data, self.tensors[name]["offset"])[0]

    def with_bytes(self, at, new):
        out = bytearray(self.data)
        out[at:at + len(new)] = new
        return bytes(out)

    def text_value_at(self, key):
        return self.keys[key]["value"] + 8
