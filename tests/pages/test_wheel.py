from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_library_alone_and_imports(tmp_path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        assert "rudder_lrp/py.typed" in archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {top.split("-")[0] for top in tops} == {"rudder_lrp"}
    site = str(tmp_path / "site")
    code = f"import sys; sys.path.insert(0, {site!r}); import rudder_lrp.sb3; print(rudder_lrp.__file__)"
    found = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert site in found.stdout
