"""What the recorder says while it records, as warnings: each once, with what to do."""

import warnings


def _say(words: str) -> None:
    warnings.warn(words, stacklevel=4)  # where the recorder was called


def compiled() -> None:
    _say("the model is compiled: activations and deltas are not recorded")


def stopped(model: str) -> None:
    _say(
        f"another recorder was still recording this {model}: it is stopped now, and keeps what it has recorded. "
        "`with Recorder(model)`, or stop(), ends a recording"
    )


def crowded(passes: int) -> None:
    _say(
        f"{passes} passes of the model, and no step(): the oldest are not kept. Call them under torch.no_grad() where nothing is to "
        "be learnt from them, or stop() the recorder for that time"
    )


def rebuilt(what: str, step: int) -> None:
    _say(
        f"the model was rebuilt while it is recorded: {what} is another one now, or has another shape or type. The recording ends "
        f"before step {step}; a new Recorder(model) records the new model"
    )


def hidden(layers: list[str]) -> None:
    names = ", ".join(layers[:3]) + (" and others" if len(layers) > 3 else "")
    _say(
        f"{names} ran without gradients on the way forward and have some all the same: reentrant checkpointing hides them, "
        "checkpoint(..., use_reentrant=False) does not"
    )


def no_gradient() -> None:
    _say("no parameter has a gradient: call step() after backward() and before zero_grad()")


def no_pass() -> None:
    _say(
        "no pass through the model was seen, so activations and deltas are not recorded: the model itself must be called inside of "
        "`with`, neither in parts nor compiled"
    )


def order(words: str) -> None:
    _say(words)
