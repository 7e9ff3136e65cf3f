"""``python -m labelaudit`` and the console script."""

import os
import signal


def main() -> None:
    """Run the command line; until it is loaded, Ctrl-C ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # OpenMP reads it when torch is loaded. Threads that wait for work would otherwise take the core of one that works,
    # in this process or in another.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Most products of numpy are small here, and threads that share them wait ten times as long as one would compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from labelaudit.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
