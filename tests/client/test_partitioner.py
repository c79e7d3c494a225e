"""Keys land where Java's producer puts them, keyless records fill one batch after another."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from logserver.client.partitioner import StickyChoice, murmur2, partition_for_key
from tests.client.oracles import aiokafka_murmur2

JAVA = {  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def test_murmur2_gives_javas_values() -> None:
    """The vectors of Kafka's own test, signed there."""
    for key, signed in JAVA.items():
        assert murmur2(key) == signed & 0xFFFFFFFF


@given(key=st.binary(max_size=70))
def test_murmur2_equals_another_client(key: bytes) -> None:
    """aiokafka's version, on generated keys of all lengths."""
    assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF


@given(key=st.binary(max_size=20), count=st.integers(1, 1000))
def test_a_partition_exists_and_follows_the_positive_hash(key: bytes, count: int) -> None:
    """The sign bit is cleared, not the absolute value taken."""
    partition = partition_for_key(key, count)
    assert 0 <= partition < count
    assert partition == (murmur2(key) & 0x7FFFFFFF) % count


def test_records_without_a_key_stay_until_a_batch_is_full() -> None:
    """The partition changes only after `stay_bytes`, and then always to another one."""
    choice = StickyChoice(5, 1000, seed=4)
    chosen = [choice.choose(100) for _ in range(2000)]
    runs = [chosen[start : start + 10] for start in range(0, 2000, 10)]
    assert all(len(set(run)) == 1 for run in runs)
    assert all(one[0] != two[0] for one, two in pairwise(runs))
    assert set(chosen) == set(range(5))


def test_one_partition_is_always_chosen() -> None:
    """Nowhere else to go."""
    choice = StickyChoice(1, 10)
    assert {choice.choose(100) for _ in range(50)} == {0}
