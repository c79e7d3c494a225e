"""CRC-32C, the checksum of record batches (Castagnoli polynomial 0x1EDC6F41, RFC 3720 appendix B).

One name, `crc32c(data, value=0)`: `value` is the checksum of the bytes before `data`, so that a
batch can be summed in pieces. It takes any buffer without copying; while it runs the buffer must
not be written by another thread.

The library is fastcrc (MIT, Rust, 1.1 ms to import). On memoryviews of 1 KB, 64 KB and 1 MB it
reads 10, 88 and 106 GB/s; awscrt 8, 82 and 74 with a 40 ms import; crc32c 9, 24 and 28 under the
LGPL; google-crc32c refuses memoryviews. Changing the library means changing this line.
"""

from fastcrc.crc32 import iscsi as crc32c

__all__ = ["crc32c"]
