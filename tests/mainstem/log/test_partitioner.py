"""The partitioner agrees with Kafka's, so that both forms of an application put a key in the same partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.log.partitioner import murmur2, partition_for

# The vectors of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", _VECTORS)
def test_the_hash_is_kafkas(key: bytes) -> None:
    assert murmur2(key) == _VECTORS[key] & 0xFFFFFFFF


@given(key=st.text(), partitions=st.integers(1, 1024))
def test_every_key_has_a_partition_that_never_changes(key: str, partitions: int) -> None:
    assert 0 <= partition_for(key, partitions) < partitions
    assert partition_for(key, partitions) == partition_for(key, partitions)
