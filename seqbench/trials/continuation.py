"""A trained model continues a sequence of its task's test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from seqbench.api import Example, SequenceInput
from seqbench.api.generative import GenerativeTask
from seqbench.errors import Refused, did_you_mean
from seqbench.registry.plugins import registry
from seqbench.reporting.example import save_picture
from seqbench.reporting.progress import ProgressWatch, unwatched
from seqbench.training.predictor import Predictor
from seqbench.trials.reload import Note, reload


@dataclass(frozen=True)
class Continued:
    """A sequence that a model has continued.

    Args:
        run: what a person calls the model's run.
        model: its name.
        group: what the sequence comes from.
        values: ``[T, F]``, the given steps and those drawn.
        files: where it was written, a picture of it last.
    """

    run: str
    model: str
    group: str
    values: Tensor
    files: list[Path]


def continue_example(
    run: str,
    uri: str | None = None,
    *,
    piece: str = "0",
    given: int = 16,
    steps: int = 64,
    seed: int = 0,
    temperature: float = 1.0,
    out: Path | None = None,
    note: Note,
    watch: ProgressWatch = unwatched,
) -> Continued:
    """Continue a sequence of the test split with a run's model, and write it to files.

    Args:
        run: its identifier, or the first digits.
        uri: of the tracking store.
        piece: number or name of the sequence within the test split.
        given: how many of its steps the model is given.
        steps: how many are drawn.
        seed: decides the draws.
        temperature: see :meth:`~seqbench.api.generative.GenerativeTask.draw_step`.
        out: path of the files without their suffixes; None names the run.
        note: hears what has changed since the run was trained.
        watch: sees each step that is drawn.

    Raises:
        Refused: the run is unknown, unfinished or damaged, its task cannot be sampled, its model
            also reads what comes after, or a file cannot be written.
    """
    stem = None if out is None else _checked(out)
    reloaded = reload(run, uri)
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
    data = reloaded.data(note)[0]
    example = _find(data.splits.test, piece, given)
    values = continue_sequence(
        reloaded.predictor(data),
        task,
        example.values[:given],
        steps=steps,
        seed=seed,
        temperature=temperature,
        watch=watch,
    )
    stem = stem or Path(f"sample-{reloaded.stored.run_id[:8]}")
    try:
        files = task.write_sample(values, given, stem)
    except OSError as error:
        raise Refused(f"out={stem}: cannot write there ({error.strerror or error})") from error
    picture = stem.with_name(f"{stem.name}.png")
    save_picture(lambda figure: task.picture_sample(figure, values, given), picture)
    return Continued(name, model, example.group, values, [*files, picture])


def continue_sequence(
    predictor: Predictor,
    task: GenerativeTask,
    start: Tensor,
    *,
    steps: int,
    seed: int,
    temperature: float,
    watch: ProgressWatch = unwatched,
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
        watch: sees each step that is drawn.
    """
    predictor.cpu().eval()
    generator = torch.Generator().manual_seed(seed)
    values = torch.cat([start, start.new_zeros(steps, start.shape[1])])
    numbers = watch(range(len(start), len(values)), "drawing", steps)
    with torch.inference_mode():
        for step in numbers:
            # the step to be drawn is still zero, and a prediction does not see its own step
            inputs = SequenceInput(values[None, : step + 1], torch.tensor([step + 1]))
            prediction = predictor(inputs)[0, step]
            values[step] = task.draw_step(prediction, generator, temperature)
    return values


def _generative_tasks() -> list[str]:
    """Return the tasks that can be sampled, read from their source."""
    wanted = "seqbench.api.generative.GenerativeTask"
    return [
        item.name
        for item in registry().all("task")
        if not item.unusable() and wanted in item.source().ancestors
    ]


def _find(examples: Sequence[Example], text: str, given: int) -> Example:
    """Return the example of a number or name, which has the steps that are given."""
    names = [example.group for example in examples]
    if text in names:
        found = examples[names.index(text)]
    elif text.isascii() and text.isdigit() and int(text) < len(examples):
        found = examples[int(text)]
    else:
        raise Refused(
            f"piece={text} is not in the test split{did_you_mean(text, names)}; give a number from"
            f" 0 to {len(examples) - 1} or a name such as '{names[0]}'"
        )
    if given > len(found.values):
        raise Refused(f"given={given}: {found.group} has {len(found.values)} steps; give no more")
    return found


def _checked(out: Path) -> Path:
    stem = out.expanduser()
    if not stem.parent.is_dir():
        raise Refused(f"out={out}: there is no folder '{stem.parent}'")
    if not stem.name or stem.is_dir():
        raise Refused(f"out={out} is a folder; name the files in it, without their suffix")
    return stem
