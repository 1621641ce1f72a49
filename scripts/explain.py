"""Explain one episode with a saved predictor: `rudder-lrp explain`.

python scripts/explain.py --run runs/latest
"""

import sys

from rudder_lrp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["explain", *sys.argv[1:]]))
