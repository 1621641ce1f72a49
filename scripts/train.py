"""Train an agent on delayed reward, with or without credit: `rudder-lrp train`.

python scripts/train.py                                   # delayed CartPole, PPO, LRP
python scripts/train.py --env LunarLander-v3 --credit difference
"""

import sys

from rudder_lrp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
