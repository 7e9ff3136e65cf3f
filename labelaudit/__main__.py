"""``python -m labelaudit`` and the console script."""

import signal


def main() -> None:
    """Run the command line; until it is loaded, Ctrl-C ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from labelaudit.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
