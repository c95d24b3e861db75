"""``python -m vss`` is the command ``vss``."""

from vss.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
