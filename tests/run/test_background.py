import threading

import pytest

from labelaudit.run.files import BackgroundWriter


def test_writes_come_in_order_and_are_done_at_the_end():
    written, begun = [], threading.Event()
    with BackgroundWriter() as writer:
        writer.submit(lambda: (begun.wait(10), written.append(1)))
        assert written == []
        begun.set()
        writer.submit(lambda: written.append(2))
    assert written == [1, 2]


def fail():
    raise OSError("full")


def test_a_failure_is_raised_by_the_next_write_which_is_not_begun():
    written = []
    with BackgroundWriter() as writer:
        writer.submit(fail)
        with pytest.raises(OSError, match="full"):
            writer.submit(lambda: written.append(1))
    assert written == []


def test_a_failure_of_the_last_write_is_raised_at_the_end():
    with pytest.raises(OSError, match="full"), BackgroundWriter() as writer:
        writer.submit(fail)


def test_an_error_of_the_training_is_not_hidden_by_one_of_writing_and_what_was_submitted_is_written():
    written = []

    def train():
        with BackgroundWriter() as writer:
            writer.submit(lambda: (written.append(1), fail()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert written == [1]
