from hypothesis import given
from hypothesis import strategies as st

from labelaudit.data.catalogue import READERS, in_parts


@given(st.lists(st.integers()), st.integers(1, 20))
def test_parts_are_full_in_order_and_lose_nothing(items, size):
    parts = list(in_parts(items, size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])
    assert all(1 <= len(part) <= size for part in parts)


def test_at_least_two_and_at_most_eight_threads_read():
    assert 2 <= READERS <= 8
