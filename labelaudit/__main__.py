"""``python -m labelaudit``."""

from labelaudit.cli.main import main

if __name__ == "__main__":
    main()
