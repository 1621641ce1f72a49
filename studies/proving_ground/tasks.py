"""What a benchmark runs: one environment with all its arms, and the suites that tasks make up."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.deep.presets import AgentConfig
from agents.tabular.lockstep import Exploration
from studies.proving_ground.arms import BASELINES, DEFAULT
from studies.proving_ground.lesson_study import LessonStudy

MAIN_CREDITS = (DEFAULT, "lrp/accumulator", "difference/markov", "oracle")
CONTROLS = ("late_monte_carlo", "late_monte_carlo/replay")


@dataclass(frozen=True)
class Task:
    """One environment, and what all its arms have in common."""

    env: str
    """Id of a registered environment."""
    arms: tuple[str, ...] = (*BASELINES, *CONTROLS, *MAIN_CREDITS)
    """See `studies.proving_ground.arms`."""
    side_arms: tuple[str, ...] = ()
    """Arms that run with fewer seeds."""
    goal: int | None = None
    """Episodes to 90 % of the optimum, published for RUDDER."""
    published: str = ""
    """Learning times of others, published."""
    episodes: int = 600
    """Of an agent with credit."""
    baseline_episodes: int = 10_000
    """Of an agent without."""
    learning_rate: float = 0.01
    """Of the agents without credit. Hardly tuned: 0.03, 0.01 and 0.003 were tried on Trace-Back 10, 0.01 to 0.001 on
    Choice 40; 0.1 on the bomb was never varied. The further tasks have the one of 0.1, 0.03, 0.01 and 0.003 that Monte
    Carlo did best with."""
    exploration: Exploration = field(default_factory=Exploration)
    timesteps: int | None = None
    """Environment steps of a deep agent; None for tabular agents."""
    agent: AgentConfig = field(default_factory=AgentConfig)
    """What the deep agents have in common, beside the environment."""
    evaluation_episodes: int = 200
    """Episodes that a deep agent plays after training."""
    evaluate_every: int = 0
    """Environment steps between two evaluations by ten episodes without exploration while a deep agent trains, the last
    of which then counts; 0 for one evaluation after training, with actions as sampled."""
    credit_points: int = 0
    """How often credit is compared with the true one while a deep agent trains."""
    lessons: LessonStudy | None = None
    """What is asked, once a deep agent has trained, of predictors fitted to lessons of its own."""

    @property
    def name(self) -> str:
        """The id without its namespace."""
        return self.env.rpartition("/")[2]


@dataclass(frozen=True)
class Suite:
    """Tasks, seeds, cap."""

    tasks: tuple[Task, ...]
    seeds: int
    cap_seconds: float
    """Wall time after which a job is given up: all the seeds of a baseline, or one run of an agent with credit."""
    side_seeds: int = 3
    """Seeds of the side arms."""
    first_seed: int = 0
    """Where the seeds begin; elsewhere than at 0 where those were looked at before."""
    table: str = ""
    """Of the suite whose table its rows are in, if not in one of its own."""

    def seeds_of(self, task: Task, arm: str) -> list[int]:
        """The seeds that an arm runs with."""
        seeds = min(self.side_seeds, self.seeds) if arm in task.side_arms else self.seeds
        return list(range(self.first_seed, self.first_seed + seeds))
