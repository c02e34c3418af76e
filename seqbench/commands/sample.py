"""`seqbench sample run=ID`: a trained model continues a sequence of its task's test split."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from seqbench.errors import EXIT_DONE, Refused, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from seqbench.api import Example
    from seqbench.api.generative import GenerativeTask
    from seqbench.training.predictor import Predictor

_Number = TypeVar("_Number", int, float)
_DEFAULTS = {"piece": "0", "given": "16", "steps": "64", "seed": "0", "temperature": "1"}
_MOST = 10_000
"""Steps that can be drawn at once; more would take hours."""
_KEYS = ("run", *_DEFAULTS, "out", "tracking.uri")


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        run: the run's identifier, or the first digits.
        uri: of the tracking store, or None for the default.
        piece: index or name within the test split.
        given: how many of its steps the model is given.
        steps: how many are drawn.
        seed: decides the draws.
        temperature: see :meth:`~seqbench.api.generative.GenerativeTask.draw_step`.
        out: path of the files without their suffixes, or None for one that names the run.
    """

    run: str
    uri: str | None
    piece: str
    given: int
    steps: int
    seed: int
    temperature: float
    out: Path | None


def command(args: list[str]) -> int:
    """Continue a sequence and write it to files; returns the exit code.

    Args:
        args: ``run=ID``; ``piece=``, ``given=``, ``steps=``, ``seed=``, ``temperature=``, ``out=``
            and ``tracking.uri=`` where wanted.

    Raises:
        Refused: an argument is wrong, the run is unknown, unfinished or damaged, its task cannot be
            sampled, its model also reads what comes after, or a file cannot be written.
    """
    request = _parse(args)
    from seqbench.api.generative import GenerativeTask
    from seqbench.reporting.example import save_picture
    from seqbench.trials.reload import reload

    reloaded = reload(request.run, request.uri, [])
    name, task, model = reloaded.name, reloaded.trial.task, reloaded.stored.record.model
    if not isinstance(task, GenerativeTask):
        raise Refused(
            f"{name}: task={reloaded.trial.settings.task} cannot be sampled;"
            f" tasks that can: {', '.join(_generative_tasks())}"
        )
    if reloaded.stored.record.context != "past":
        raise Refused(
            f"{name}: model={model} also reads what comes after a step, so it cannot continue a"
            " sequence; choose a run with context=past"
        )
    data = reloaded.data()[0]
    example = _find(data.splits.test, request)
    predictor = reloaded.predictor(data)
    values = continue_sequence(
        predictor,
        task,
        example.values[: request.given],
        steps=request.steps,
        seed=request.seed,
        temperature=request.temperature,
    )
    stem = request.out or Path(f"sample-{reloaded.stored.run_id[:8]}")
    try:
        files = task.write_sample(values, request.given, stem)
    except OSError as error:
        raise Refused(f"out={stem}: cannot write there ({error.strerror or error})") from error
    picture = stem.with_name(f"{stem.name}.png")
    save_picture(lambda figure: task.picture_sample(figure, values, request.given), picture)
    sys.stdout.write(
        f"{model} of {name} continues {example.group}: {request.given} steps given,"
        f" {request.steps} drawn (seed {request.seed}, temperature {request.temperature:g})\n"
        + "".join(f"  {path}\n" for path in (*files, picture))
    )
    return EXIT_DONE


def continue_sequence(
    predictor: Predictor,
    task: GenerativeTask,
    start: Tensor,
    *,
    steps: int,
    seed: int,
    temperature: float,
) -> Tensor:
    """Return a sequence with drawn steps after its own, ``[T + steps, F]``.

    Each step is drawn from its prediction, which sees the steps before it, those drawn included.
    The whole sequence is encoded again for each: quadratic in its length, and possible with every
    model. It is done on a CPU, so that the same seed gives the same sample.

    Args:
        predictor: of context ``past``; it is moved to the CPU.
        task: draws the steps.
        start: ``[T, F]``, T at least 0.
        steps: how many to draw.
        seed: of the draws.
        temperature: see :meth:`~seqbench.api.generative.GenerativeTask.draw_step`.
    """
    import torch
    from rich.console import Console
    from rich.progress import track

    from seqbench.api import SequenceInput

    predictor.cpu().eval()
    generator = torch.Generator().manual_seed(seed)
    values = torch.cat([start, start.new_zeros(steps, start.shape[1])])
    numbers = track(
        range(len(start), len(values)),
        "drawing",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with torch.inference_mode():
        for step in numbers:
            # the step to be drawn is still zero, and a prediction does not see its own step
            inputs = SequenceInput(values[None, : step + 1], torch.tensor([step + 1]))
            prediction = predictor(inputs)[0, step]
            values[step] = task.draw_step(prediction, generator, temperature)
    return values


def _generative_tasks() -> list[str]:
    """Return the tasks that can be sampled, read from their source."""
    from seqbench.registry.plugins import registry

    wanted = "seqbench.api.generative.GenerativeTask"
    return [
        item.name
        for item in registry().all("task")
        if not item.unusable() and wanted in item.source().ancestors
    ]


def _find(examples: Sequence[Example], request: Request) -> Example:
    """Return the example that the request names, which has the steps that are given."""
    names = [example.group for example in examples]
    text = request.piece
    if text in names:
        found = examples[names.index(text)]
    elif text.isascii() and text.isdigit() and int(text) < len(examples):
        found = examples[int(text)]
    else:
        raise Refused(
            f"piece={text} is not in the test split{did_you_mean(text, names)}; give a number from"
            f" 0 to {len(examples) - 1} or a name such as '{names[0]}'"
        )
    if request.given > len(found.values):
        raise Refused(
            f"given={request.given}: {found.group} has {len(found.values)} steps; give no more"
        )
    return found


def _parse(args: list[str]) -> Request:
    words: dict[str, str] = dict(_DEFAULTS)
    for arg in args:
        key, equals, value = arg.partition("=")
        if not (equals and value):
            raise Refused(f"seqbench sample: '{arg}' is not KEY=VALUE; see --help")
        if key not in _KEYS:
            raise Refused(
                f"seqbench sample: unknown key '{key}'{did_you_mean(key, _KEYS)}; "
                f"known: {', '.join(_KEYS)}"
            )
        words[key] = value
    if "run" not in words:
        raise Refused("seqbench sample: run=ID is missing; `seqbench ui` shows the runs")
    return Request(
        run=words["run"],
        uri=words.get("tracking.uri"),
        piece=words["piece"],
        given=_number(words, "given", int, "a whole number from 0", lambda x: x >= 0),
        steps=_number(
            words, "steps", int, f"a whole number from 1 to {_MOST}", lambda x: 1 <= x <= _MOST
        ),
        seed=_number(words, "seed", int, "a whole number from 0", lambda x: 0 <= x < 2**63),
        temperature=_number(
            words, "temperature", float, "a number above 0", lambda x: 0 < x < math.inf
        ),
        out=_stem(words["out"]) if "out" in words else None,
    )


def _number(
    words: dict[str, str],
    key: str,
    kind: Callable[[str], _Number],
    allowed: str,
    fits: Callable[[_Number], bool],
) -> _Number:
    try:
        value = kind(words[key])
    except ValueError:
        value = kind("-1")  # as little allowed as what is no number
    if not fits(value):
        raise Refused(f"seqbench sample: {key} must be {allowed}, not '{words[key]}'")
    return value


def _stem(text: str) -> Path:
    stem = Path(text).expanduser()
    if not stem.parent.is_dir():
        raise Refused(f"out={text}: there is no folder '{stem.parent}'")
    if not stem.name or stem.is_dir():
        raise Refused(f"out={text} is a folder; name the files in it, without their suffix")
    return stem
