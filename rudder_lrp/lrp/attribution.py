"""The front door: explain a model that somebody else trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar, overload

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rudder_lrp.lrp import checks, model_checks
from rudder_lrp.lrp.composite import Choice, Composite, Place
from rudder_lrp.lrp.ledger import Ledger, ModelLedger
from rudder_lrp.lrp.model import ModelLRP, ModelTarget
from rudder_lrp.lrp.recurrent import Asked, Batch, Explanation, InitialState, Reads, RecurrentLRP, Target
from rudder_lrp.lrp.rules import GATE_RULES, LINEAR_RULES, GateRule, LinearRule, Rules

Account = TypeVar("Account", Ledger, ModelLedger)
Inputs = TypeVar("Inputs", Tensor, PackedSequence, tuple[Tensor, ...])


class LRP(Generic[Account]):
    """Layer-wise relevance propagation through a whole model, or through an `nn.LSTM` or `nn.GRU` and its readout.

    `LRP(model)` explains any `nn.Module` made of the operations that `docs/whole_models.md` lists. `LRP(lstm, readout)`
    explains a recurrent layer whose final (or any) state a readout reads; where the weights let no relevance travel
    back through the hidden state (under LRP-all: Markov, accumulator), the cell's share is computed in closed form,
    without stabilizer and without leak.

    The model is not modified, needs no gradients and is explained as in evaluation: dropout does nothing.

    Args:
        model: a whole model; or an `nn.LSTM` or `nn.GRU` with any number of layers, one or two directions.
        readout: after a recurrent layer: a Linear, or a Sequential of Linear and elementwise activations; None to
            inject relevance only.
        rule: how a gated product shares relevance: "all", "half", "prop", "abs", or a function (`GateRule`).
        eps: stabilizer of the denominators, > 0.
        linear: of an LSTM, rule of the map into the cell input: "epsilon"; "gamma" or "z-plus" where nothing that
            feeds it is negative; or a function (`LinearRule`).
        encoder: layers before a recurrent layer, of the same kinds as its readout's.
        conserve: of an LSTM, whether what biases and stabilizers absorb is spread evenly over what feeds the same map,
            so that the relevance of inputs and initial states sums to the output.
        reads: whether the readout reads the hidden or the cell state.
        rules: of a whole model, rules by type or name of its layers: `{nn.Linear: "gamma", "lstm": "half"}`; see
            `rudder_lrp.lrp.composite`.

    Raises:
        TypeError: if the modules are not of these types.
        ValueError: if they do not fit together or use what is not supported.
    """

    @overload
    def __init__(
        self: LRP[Ledger],
        model: nn.LSTM | nn.GRU,
        readout: nn.Module | None = None,
        rule: str | GateRule = "all",
        eps: float = 1e-3,
        *,
        linear: str | LinearRule = "epsilon",
        encoder: nn.Module | None = None,
        conserve: bool = False,
        reads: Reads = "hidden",
    ) -> None: ...

    @overload
    def __init__(
        self: LRP[ModelLedger],
        model: nn.Module,
        readout: None = None,
        rule: str | GateRule = "all",
        eps: float = 1e-3,
        *,
        rules: Mapping[Place, Choice] | None = None,
    ) -> None: ...

    def __init__(
        self,
        model: nn.Module,
        readout: nn.Module | None = None,
        rule: str | GateRule = "all",
        eps: float = 1e-3,
        *,
        linear: str | LinearRule = "epsilon",
        encoder: nn.Module | None = None,
        conserve: bool = False,
        reads: Reads = "hidden",
        rules: Mapping[Place, Choice] | None = None,
    ) -> None:
        if not eps > 0 or reads not in ("hidden", "cell"):
            raise ValueError(f"eps must be > 0 and reads 'hidden' or 'cell', got {eps} and {reads!r}; change them")
        gate = checks.check_rule("rule", rule, GATE_RULES)
        if isinstance(model, nn.Module):
            model = model_checks.unwrapped(model)
        self.model = model
        self.rules = Rules(gate, checks.check_rule("linear", linear, LINEAR_RULES), eps, conserve)
        self._recurrent: RecurrentLRP | None = None
        self._whole: ModelLRP | None = None
        if isinstance(model, nn.LSTM | nn.GRU):
            checks.refuse_options("a recurrent layer and its readout", rules=rules)
            self._recurrent = RecurrentLRP(model, readout, self.rules, encoder=encoder, reads=reads)
        else:
            linear_rule = None if linear == "epsilon" else linear
            cell = reads if reads == "cell" else None
            model_checks.check_whole_model(model, readout)
            checks.refuse_options("a whole model", linear=linear_rule, encoder=encoder, conserve=conserve, reads=cell)
            self._whole = ModelLRP(model, Composite(gate, eps, rules or {}))

    @overload
    def attribute(
        self,
        inputs: Inputs,
        target: ModelTarget = None,
        lengths: Tensor | None = None,
        return_ledger: Literal[False] = False,
        *,
        state: InitialState = None,
        step: int | Tensor | None = None,
        relevance: Tensor | PackedSequence | None = None,
        additional_forward_args: Any = None,
        per_feature: bool = False,
    ) -> Inputs: ...

    @overload
    def attribute(
        self,
        inputs: Inputs,
        target: ModelTarget = None,
        lengths: Tensor | None = None,
        *,
        return_ledger: Literal[True],
        state: InitialState = None,
        step: int | Tensor | None = None,
        relevance: Tensor | PackedSequence | None = None,
        additional_forward_args: Any = None,
        per_feature: bool = False,
    ) -> tuple[Inputs, Account]: ...

    def attribute(
        self,
        inputs: Inputs,
        target: ModelTarget = None,
        lengths: Tensor | None = None,
        return_ledger: bool = False,
        *,
        state: InitialState = None,
        step: int | Tensor | None = None,
        relevance: Tensor | PackedSequence | None = None,
        additional_forward_args: Any = None,
        per_feature: bool = False,
    ) -> Any:
        """Relevance of the inputs for one output, shaped like the inputs.

        Args:
            inputs: what the model takes first: a tensor, several in a tuple, or a `PackedSequence`. For a recurrent
                layer `[B, T, F]`, or `[T, B, F]` if it is not `batch_first`. Of whole numbers, as an embedding takes
                them, the relevance is that of their embeddings, summed over features.
            target: index of the output, one for all or `[B]`; for outputs `[B, d1, d2...]` a tuple `(i1, i2...)`. May
                be left out if there is only one output.
            lengths: of a recurrent layer, valid steps of each sequence, `[B]`; all by default. Padding gets zero.
            return_ledger: whether to return the `Ledger` (of a whole model, the `ModelLedger`) too.
            state: of a recurrent layer, initial states as it takes them; zero by default.
            step: of a recurrent layer, step whose output is explained, one for all or `[B]`. By default the readout
                reads the final state of each direction, as in `h_n`; with a step it reads what is returned there.
            relevance: of a recurrent layer, instead of an output, relevance of the hidden states that it returns,
                `[B, T, D * H]` (`[T, B, D * H]` if not `batch_first`) or packed; on padding it is ignored.
            additional_forward_args: of a whole model, what its `forward` takes after the inputs, not explained: one
                argument or a tuple, as Captum has it.
            per_feature: of a whole model whose input an embedding takes, whether to keep its features apart,
                `[B, T, E]`.

        Raises:
            TypeError, ValueError: if an argument does not fit the model, naming what was found and what is supported.
            NotImplementedError: where relevance would have to pass an operation that has no rule, naming it and where.
        """
        if self._recurrent is not None:
            extra = {"additional_forward_args": additional_forward_args, "per_feature": per_feature}
            checks.refuse_options("a recurrent layer and its readout", **extra)
            asked = Asked(target, state, step, relevance)  # type: ignore[arg-type]
            found, ledger = self._recurrent.attribute(inputs, lengths, asked, account=return_ledger)  # type: ignore[type-var]
            return found if ledger is None else (found, ledger)
        assert self._whole is not None
        checks.refuse_options("a whole model", lengths=lengths, state=state, step=step, relevance=relevance)
        return self._whole.attribute(inputs, target, additional_forward_args, return_ledger, per_feature)

    def explain(
        self,
        inputs: Tensor,
        target: Target = None,
        lengths: Tensor | None = None,
        *,
        state: InitialState = None,
        step: int | Tensor | None = None,
        relevance: Tensor | None = None,
    ) -> Explanation:
        """Relevance of features and steps for one output of a recurrent layer and its readout; see `attribute`.

        Inputs are `[B, T, F]` in any case.

        Raises:
            TypeError: for a whole model, which has no steps of its own.
        """
        if self._recurrent is None:
            raise TypeError("explain is for a recurrent layer and its readout, got a whole model; use attribute")
        return self._recurrent.explain(inputs, lengths, Asked(target, state, step, relevance))


__all__ = ["LRP", "Batch", "Explanation", "Reads"]
