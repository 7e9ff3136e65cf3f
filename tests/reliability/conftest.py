"""The images of the command line's tests and their audit; one thread everywhere, so that the tests take one core."""

from tests.cli.conftest import finished, one_thread, photos

__all__ = ["finished", "one_thread", "photos"]
