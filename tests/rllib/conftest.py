from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_processes() -> Iterator[None]:
    """Real processes of Ray on this machine, for as long as the tests run."""
    import ray

    found_by_workers = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}}
    ray.init(
        num_cpus=4, runtime_env=found_by_workers, include_dashboard=False, log_to_driver=False, logging_level="error"
    )
    yield
    ray.shutdown()
