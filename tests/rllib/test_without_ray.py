from __future__ import annotations

import subprocess
import sys


def test_without_ray_the_import_names_the_extra() -> None:
    code = "import sys; sys.modules['ray'] = None; import rudder_lrp.rllib"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = found.stderr.strip().splitlines()[-1]
    assert said == 'ImportError: rudder_lrp.rllib needs Ray: pip install "rudder-lrp[rllib]"'
