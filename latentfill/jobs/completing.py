"""`complete` in several processes of this machine: what each makes of a batch of questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch

from ..errors import LatentfillError
from ..gan.gan import Gan
from ..models import load
from .answers import Question, weights_of
from .batch import drain
from .reader import Reader, reason

if TYPE_CHECKING:
    from ..cli.complete import Options

Told = tuple[Question, Path | str]  # where the answer is, or why there is none


@final
class Answerer:
    """Completes a batch as the one process does. It is pickled for every process, and loads the model there."""

    def __init__(self, options: "Options", threads: int) -> None:
        self._options, self._threads = options, threads
        self._ready: tuple[Gan, Reader, str] | None = None

    def __call__(self, questions: Sequence[Question]) -> list[Told]:
        """What became of each; unusable ones first. Raises LatentfillError for what stops all others too."""
        gan, reader, weights = self._ready = self._ready or self._begin()
        reader.rejected.clear()
        made: list[Told] = []
        for question, answer in drain(self._options, gan, reader, questions, drawn=True, weights=weights):
            why = reason(question.source.name, answer) if isinstance(answer, LatentfillError) else answer
            made.append((question, why))
        done = {question.number for question, _ in made}
        lost = [question for question in questions if question.number not in done]
        return [*((question, why) for question, (_, why) in zip(lost, reader.rejected, strict=True)), *made]

    def _begin(self) -> tuple[Gan, Reader, str]:
        options = self._options
        torch.set_num_threads(self._threads)
        gan = load(options.model, options.device, options.class_name)
        return gan, Reader(options, gan, alone=False), weights_of(gan)
