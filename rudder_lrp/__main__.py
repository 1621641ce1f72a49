"""`python -m rudder_lrp` is `rudder-lrp`."""

import sys


def entry() -> None:
    """Run as a command; Ctrl-C ends in one sentence, too, while PyTorch is still being imported."""
    try:
        from rudder_lrp.cli.main import main

        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; nothing was saved", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    entry()
