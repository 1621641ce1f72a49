"""Damages every file that a run saves, in every way, and looks at what comes of reading it.

Some damages are of the file alone. Others are made by somebody who knows the format: the contents change, the
checksums are right. Each time, reading must either refuse in one sentence and change nothing, or give what works.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from rudder_lrp.persistence.manifest import Manifest, seal
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.sb3 import RedistributedRewardVecEnv, RedistributionCallback, resume
from rudder_lrp.storage import write_tensors
from tests.conftest import SPACES
from tests.sb3.play import QUICK, vec_env

SECONDS = 20
OUTCOMES = ("refused", "works", "raw error", "crashes later", "half changed", "executed", "hangs")
STRANGE = [None, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "x", [], {}, [None] * 5, True, {"a": [1]}]
CHECKPOINT = "checkpoint_000001"
Rng = np.random.Generator


class HangsError(Exception):
    """Reading takes too long."""


def build(seed: int = 0) -> VecNormalize:
    config = {"training": QUICK, "train_every": 32, "min_lessons": 4, "growth": 1.0, "hidden_size": 4}
    return VecNormalize(RedistributedRewardVecEnv(vec_env(2), seed=seed, **config), norm_reward=False)


def save_a_run(folder: Path) -> None:
    """Two checkpoints with their journals, and the latest predictor."""
    policy = {"net_arch": [4]}
    model = PPO("MlpPolicy", build(), n_steps=16, batch_size=32, n_epochs=1, device="cpu", policy_kwargs=policy)
    model.learn(160, callback=RedistributionCallback(folder, checkpoint_every=10**9))


# ---- damages of the file


def flip_bits(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data)))]


def lengthen(data: bytes, rng: Rng) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 200)))


def blank(data: bytes, rng: Rng) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + bytes(min(100, len(data) - start)) + data[start + 100 :]


def huge_header(data: bytes, rng: Rng) -> bytes:
    return int(rng.choice([2**20, 2**40, 2**63 - 1])).to_bytes(8, "little") + data[8:]


def noise(data: bytes, rng: Rng) -> bytes:
    return rng.bytes(len(data))


def bomb(data: bytes, rng: Rng) -> bytes:
    import io
    import zipfile

    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(10**7))
    return file.getvalue()


class _Touch:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.path, "w")


def planted_pickle(data: bytes, rng: Rng) -> bytes:
    return pickle.dumps(_Touch(os.environ["ATTACK_MARKER"]))


OF_BYTES = [flip_bits, flip_bits, flip_bits, cut, cut, lengthen, blank, huge_header, noise, bomb, planted_pickle]


def replaced(path: Path, rng: Rng) -> None:
    """Put something that is no such file in its place."""
    path.unlink()
    made: list[Callable[[], Any]] = [
        lambda: None,
        path.mkdir,
        path.touch,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.with_name("nowhere")),
        lambda: path.symlink_to(path),
    ]
    made[int(rng.integers(len(made)))]()


# ---- damages with right checksums


def reseal(checkpoint: Path) -> None:
    contents = json.loads((checkpoint / "manifest.json").read_text())
    (checkpoint / "manifest.json").unlink()
    seal(checkpoint, Manifest(contents["run"], contents["pipeline"]))


def change_contents(path: Path, rng: Rng) -> None:
    data = path.read_bytes()
    tensors = load(data)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    header = json.loads(metadata["header"])
    names = sorted(tensors)
    one, two = (names[int(at)] for at in rng.integers(len(names), size=2))
    if header and rng.random() < 0.35:
        key = sorted(header)[int(rng.integers(len(header)))]
        if rng.random() < 0.2:
            del header[key]
        else:
            header[key] = STRANGE[int(rng.integers(len(STRANGE)))]
    else:
        _change_tensor(tensors, one, two, rng)
    write_tensors(path, tensors, metadata["kind"], header)


def _change_tensor(tensors: dict[str, torch.Tensor], one: str, two: str, rng: Rng) -> None:
    kind = int(rng.integers(8))
    value = tensors[one].clone()
    if kind == 0:
        tensors[one], tensors[two] = tensors[two].clone(), value
    elif kind == 1:
        del tensors[one]
    elif kind == 2:
        tensors["unknown"] = value
    elif kind == 3:
        tensors[one] = value.flatten()[:-1] if value.numel() > 1 else torch.zeros(3)
    elif kind == 4:
        tensors[one] = value.to([torch.float16, torch.float64, torch.int64, torch.bool][int(rng.integers(4))])
    elif kind == 5:
        tensors[one] = value[None]
    elif value.numel():
        bad = [float("nan"), float("inf"), -1.0, -1e30, 1e38, 0.0][int(rng.integers(6))]
        value = value if value.is_floating_point() else value.double()
        value.view(-1)[int(rng.integers(value.numel()))] = bad
        tensors[one] = value.to(tensors[one].dtype)


# ---- what comes of it


def snapshot(env: VecNormalize) -> str:
    online = env.venv.online
    tensors, counters = online.state()
    counts = online.lessons.seen, len(online.lessons)
    parts = [online.predictor.state_dict(), tensors, counters, counts, env.obs_rms.mean]
    return repr([{k: v.tolist() for k, v in part.items()} if _tensors(part) else part for part in parts])


def _tensors(part: Any) -> bool:
    return isinstance(part, dict) and all(isinstance(value, torch.Tensor) for value in part.values())


def read_and_use(folder: Path, file: str, env: VecNormalize) -> None:
    if file == "predictor.safetensors":
        predictor = ReturnPredictor.load(folder / file, *SPACES)
        assert predictor(torch.randn(2, 5, len(predictor.features))).isfinite().all()
    else:
        resume(folder, env)


def use(env: VecNormalize) -> None:
    """Go on with a run for a while; nothing may crash and no reward may be NaN."""
    env.reset()
    for step in range(40):
        _, rewards, _, _ = env.step(np.full(2, step % 2))
        assert np.isfinite(rewards).all()


def outcome(folder: Path, file: str) -> str:
    env = build(3)
    before = snapshot(env)

    def stop(*_: Any) -> None:
        raise HangsError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        read_and_use(folder, file, env)
    except HangsError:
        return "hangs"
    except (ValueError, FileNotFoundError) as error:
        if "\n" in str(error) or not str(error):
            return f"raw error: {error!r}"
        return "refused" if snapshot(env) == before else f"half changed: {error!r}"
    except BaseException as error:
        return f"raw error: {type(error).__name__} {error}"
    finally:
        signal.alarm(0)
    try:
        use(env)
    except BaseException as error:
        return f"crashes later: {type(error).__name__} {error}"
    return "works"


def mutate(folder: Path, rng: Rng) -> str:
    """Damage one file of a run; return its name below the folder."""
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    file = names[int(rng.integers(len(names)))]
    path, choice = folder / file, rng.random()
    if file.endswith(".safetensors") and choice < 0.5:
        change_contents(path, rng)
        if path.parent != folder:
            reseal(path.parent)
    elif choice < 0.6:
        replaced(path, rng)
    elif choice < 0.65:
        other = folder / names[int(rng.integers(len(names)))]
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(OF_BYTES[int(rng.integers(len(OF_BYTES)))](path.read_bytes() or b"x", rng))
    return file


def attack(folder: Path, count: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Damage a run `count` times; how often what came of it, and what should not have."""
    marker = folder / "executed"
    os.environ["ATTACK_MARKER"] = str(marker)
    save_a_run(whole := folder / "whole")
    found: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
    wrong = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        shutil.rmtree(folder / "damaged", ignore_errors=True)
        shutil.copytree(whole, folder / "damaged")
        file = mutate(folder / "damaged", rng)
        if number % 2 and file.startswith(CHECKPOINT):  # every other time there is none to fall back on
            shutil.rmtree(folder / "damaged" / "checkpoint_000000")
        result = outcome(folder / "damaged", file)
        if marker.exists():
            marker.unlink()
            result = "executed"
        kind = result.split(":")[0]
        found[kind] += 1
        if kind not in ("refused", "works"):
            wrong.append(f"{seed} {number} {file} {result}")
    return found, wrong
