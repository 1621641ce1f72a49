"""Environments whose rules fit in arrays, so that episodes are cheap and their true credit can be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.true_credit import Floats, Foreseen, Policy

Indices = NDArray[np.int64]
Observation = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Earnings:
    """What the steps of an episode earn: `mean`, and by the flip of a fair coin `deviation` more or less.

    Both broadcast to `[T, S, A]`: step, state before it, action.
    """

    mean: Floats
    deviation: Floats | float = 0.0

    def expand(self, shape: tuple[int, int, int]) -> tuple[Floats, Floats]:
        """Mean and deviation at full shape `[T, S, A]`, without copying."""
        return np.broadcast_to(self.mean, shape), np.broadcast_to(np.asarray(self.deviation, np.float64), shape)


@dataclass(frozen=True, eq=False)
class FiniteModel:
    """The rules of an environment with S states, A actions and at most T steps."""

    steps: int
    """T."""
    starts: Floats
    """Probability of each state to start in, `[S]`."""
    next_state: Indices
    """Where an action leads, `[S, A]`."""
    now: Earnings
    """Paid at the step itself."""
    late: Earnings
    """Earned at the step, paid with the last one."""
    view: Observation
    """What is seen of each state, within [0, 1], `[S, D]`."""
    decisive: NDArray[np.bool_]
    """Which steps deserve credit, broadcasts to `[T, S, A]`."""
    over: NDArray[np.bool_] | None = None
    """States that end the episode, `[S]`; they lead to themselves and earn nothing."""
    slip: float = 0.0
    """Probability that an action is replaced by a random one."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(T, S, A)`."""
        return self.steps, *self.next_state.shape  # type: ignore[return-value]

    @cached_property
    def earned(self) -> Floats:
        """Expected earnings of each step, paid at once or late, `[T, S, A]`."""
        return self.now.expand(self.shape)[0] + self.late.expand(self.shape)[0]

    @cached_property
    def ends(self) -> NDArray[np.bool_]:
        """`over`, or no state at all, `[S]`."""
        return np.zeros(len(self.next_state), dtype=bool) if self.over is None else self.over

    @cached_property
    def optimal(self) -> Values:
        """Values of the optimal policy."""
        return values(self)

    @cached_property
    def optimal_return(self) -> float:
        """Mean return of the optimal policy."""
        return float(self.starts @ self.optimal.state[0])


class Values(NamedTuple):
    """Expected future earnings, late payments counted where they are earned."""

    action: Floats
    """q, `[T, S, A]`."""
    state: Floats
    """v, `[T + 1, S]`; nothing follows the last step."""


def values(model: FiniteModel, epsilon: float = 0.0) -> Values:
    """Backward induction for the policy that acts optimally except for a share `epsilon` of random actions."""
    q, v = np.empty(model.shape), np.zeros((model.steps + 1, model.shape[1]))
    for t in reversed(range(model.steps)):
        q[t] = _backup(model, model.earned[t], v[t + 1])
        v[t] = (1.0 - epsilon) * q[t].max(axis=1) + epsilon * q[t].mean(axis=1)
    return Values(q, v)


def last_payment(model: FiniteModel, epsilon: float) -> Floats:
    """What the policy of `values` expects of the last payment from each state on, `[T + 1, S]`.

    Of what is earned late, that which is still to be earned. Actions of one value are taken alike.
    """
    last = model.ends[model.next_state] | (np.arange(model.steps) == model.steps - 1)[:, None, None]
    earned = model.late.expand(model.shape)[0] + model.now.expand(model.shape)[0] * last
    q, v = values(model, epsilon).action, np.zeros((model.steps + 1, model.shape[1]))
    for t in reversed(range(model.steps)):
        best = np.isclose(q[t], q[t].max(axis=1, keepdims=True), rtol=0.0, atol=1e-9)
        policy = (1.0 - epsilon) * best / best.sum(axis=1, keepdims=True) + epsilon / model.shape[2]
        v[t] = (policy * _backup(model, earned[t], v[t + 1])).sum(axis=1)
    return v


def _backup(model: FiniteModel, earned: Floats, following: Floats) -> Floats:
    """What each action earns now and afterwards, `[S, A]`."""
    intended = earned + following[model.next_state]
    return (1.0 - model.slip) * intended + model.slip * intended.mean(axis=1, keepdims=True)


class Situation(NamedTuple):
    """Where an episode of a `FiniteEnv` is."""

    step: int
    state: int
    booked: float
    """Expected late payment for the steps so far; what chance adds to it is not seen before it is paid."""


class ExpectedPayment(Foreseen):
    """What the last step of a `FiniteEnv` is expected to pay, exactly, for a policy that sees its state.

    The state follows from what was seen, at the latest view, in every environment here. A policy that sees random bits
    as well is averaged over draws of them.

    Args:
        env: the task.
        policy: acts.
        draws: of the random bits, where there are any.
        seed: of the draws.
    """

    def __init__(self, env: FiniteEnv, policy: Policy, draws: int = 256, seed: int = 0) -> None:
        model = env.model
        late, now = model.late.expand(model.shape)[0], model.now.expand(model.shape)[0]
        last = model.ends[model.next_state] | (np.arange(model.steps) == model.steps - 1)[:, None, None]
        actions, earned = _probabilities(env, policy, draws if env.distractors else 1, seed), late + now * last
        self.ahead = np.zeros((model.steps + 1, model.shape[1]))
        for t in reversed(range(model.steps)):
            self.ahead[t] = (actions[t] * _backup(model, earned[t], self.ahead[t + 1])).sum(axis=1)

    def expected(self, situations: Sequence[Situation]) -> Floats:
        """See `Foreseen.expected`."""
        return np.array([booked + self.ahead[step, state] for step, state, booked in situations])


def _probabilities(env: FiniteEnv, policy: Policy, draws: int, seed: int) -> Floats:
    """Of the actions in every state at every step, `[T, S, A]`."""
    rng, (steps, states, actions) = np.random.default_rng(seed), env.model.shape
    at, state = np.divmod(np.arange(steps * states), states)
    total = np.zeros((steps * states, actions))
    for _ in range(draws):
        total += policy(env.look(state, at, rng.integers(2, size=(len(state), env.distractors))))
    return (total / draws).reshape(steps, states, actions)


class FiniteEnv(gym.Env[Observation, int]):
    """Plays a `FiniteModel` through Gymnasium.

    Observation: the model's view of the state, then the share of the episode that is over; `Box(0, 1, (D + 1,))`.
    Info: `decisive`; `expected_return`, that of the optimal policy from here on together with what was earned so far.
    Its differences from step to step are the optimal redistribution, see `envs.credit`.

    Args:
        model: the rules.
        distractors: number of random bits that are seen as well.
    """

    def __init__(self, model: FiniteModel, distractors: int = 0) -> None:
        self.model = model
        self.distractors = distractors
        self.optimal_return = model.optimal_return
        self.observation_space = spaces.Box(0.0, 1.0, (model.view.shape[1] + distractors + 1,), np.float32)
        self.action_space = spaces.Discrete(model.shape[2])
        self._now, self._late = model.now.expand(model.shape), model.late.expand(model.shape)
        self._decisive = np.broadcast_to(model.decisive, model.shape)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Go to a start."""
        super().reset(seed=seed)
        self._state = int(self.np_random.choice(len(self.model.starts), p=self.model.starts))
        self._step, self._earned, self._owed, self._booked = 0, 0.0, 0.0, 0.0
        return self._observation(), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Step by the model's rules."""
        if self.model.slip and self.np_random.random() < self.model.slip:
            action = int(self.np_random.integers(self.model.shape[2]))
        at = (self._step, self._state, int(action))
        paid, late = self._draw(*self._now, at), self._draw(*self._late, at)
        self._owed += late
        self._booked += float(self._late[0][at])
        self._earned += paid + late
        self._state = int(self.model.next_state[at[1:]])
        self._step += 1
        over = self._step == self.model.steps or bool(self.model.ends[self._state])
        if over:
            paid += self._owed
        expected = self._earned + float(self.model.optimal.state[self._step, self._state])
        info = {"decisive": bool(self._decisive[at]), "expected_return": expected}
        return self._observation(), paid, over, False, info

    def _draw(self, mean: Floats, deviation: Floats, at: tuple[int, int, int]) -> float:
        spread = float(deviation[at])
        if spread and self.np_random.random() < 0.5:
            spread = -spread
        return float(mean[at]) + spread

    def _observation(self) -> Observation:
        bits = self.np_random.integers(2, size=(1, self.distractors))
        return self.look(np.array([self._state]), np.array([self._step]), bits)[0]

    def look(self, states: Indices, steps: Indices, bits: Indices) -> Observation:
        """What is seen, `[N, D + distractors + 1]`, of states `[N]` at steps `[N]` with bits `[N, distractors]`."""
        share = steps / self.model.steps
        return np.column_stack([self.model.view[states], bits, share]).astype(np.float32)

    @property
    def situation(self) -> Situation:
        """Where the episode is, see `ExpectedPayment`."""
        return Situation(self._step, self._state, self._booked)

    def foresee(self, policy: Policy) -> ExpectedPayment:
        """What the last step is expected to pay with a policy."""
        return ExpectedPayment(self, policy)
