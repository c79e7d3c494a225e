"""The checksum is CRC-32C, incremental and at home on every kind of buffer."""

import mmap

import pytest

from logwire.checksum import crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_it_gives_the_published_values(data: bytes, expected: int) -> None:
    """The vectors of RFC 3720 B.4 and the catalogue's check value."""
    assert crc32c(data) == expected


def test_a_sum_in_pieces_is_the_sum_of_the_whole() -> None:
    """The second argument continues where an earlier call stopped."""
    data = bytes(range(256)) * 9
    for cut in (0, 1, 7, 64, 2303):
        assert crc32c(data[cut:], crc32c(data[:cut])) == crc32c(data)


def test_any_buffer_is_read_in_place() -> None:
    """bytes, bytearray, memoryviews of both and a mapping give the same sum."""
    data = b"123456789"
    with mmap.mmap(-1, len(data)) as mapping:
        mapping[:] = data
        for buffer in (data, bytearray(data), memoryview(data), memoryview(bytearray(data))):
            assert crc32c(buffer) == 0xE3069283
        view = memoryview(mapping)
        assert crc32c(view) == 0xE3069283
        view.release()
