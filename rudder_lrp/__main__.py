"""`python -m rudder_lrp` is `rudder-lrp`."""

from rudder_lrp.cli.main import entry

if __name__ == "__main__":
    entry()
