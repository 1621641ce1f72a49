"""A run on a Ray cluster of two nodes: the predictor stays beside the algorithm, EnvRunners are where there is room."""

from __future__ import annotations

import ray
from ray.cluster_utils import Cluster
from ray.rllib.algorithms.ppo import PPOConfig

from rudder_lrp.rllib import with_credit
from tests.rllib.play import QUICK, small


def here(*_: object) -> str:
    """The node of whoever calls."""
    return str(ray.get_runtime_context().get_node_id())


def main() -> None:
    """Train until the predictor was trained and EnvRunners of the other node have its weights."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    config = small(PPOConfig()).training(train_batch_size_per_learner=256, minibatch_size=128, num_epochs=1)
    algorithm = with_credit(config, QUICK, interval=0.0).build_algo()
    runners = algorithm.env_runner_group.foreach_env_runner(here, local_env_runner=False)
    result = algorithm.train()
    while result["credit"]["version"] < 2 or not result["env_runners"]["credit"]["bytes_of_weights"]:
        result = algorithm.train()
    assert ray.get(algorithm.credit._actor.__ray_call__.remote(here)) == here()
    assert set(runners) - {here()}, "all EnvRunners are on one node"
    algorithm.stop()
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
