"""What `latentfill complete` does with its questions, in one process or shared out among several."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ..errors import LatentfillError
from .output import say

if TYPE_CHECKING:
    from ..batch.complete import Batch
    from ..batch.inputs import Reader
    from ..batch.outputs import Question
    from ..completion.complete import Completion
    from ..gan.gan import Gan
    from ..options.commands import CompleteCommand

Told = tuple["Question", Path | str]  # where the answer is, or why there is none
BATCHES_EACH = 4  # for a process at least, or it is not begun: that takes as long as some batches


def answer_all(options: "CompleteCommand", gan: "Gan", reader: "Reader", questions: "Sequence[Question]") -> int:
    """How many were completed, each named as it is; why the others were not, the reader has."""
    workers = _workers(options, gan, len(questions))
    return _by_several(options, reader, questions, workers) if workers > 1 else _alone(options, gan, reader, questions)


def _workers(options: "CompleteCommand", gan: "Gan", count: int) -> int:
    """Processes to share the work. What is not the search's own keeps one core busy, however many there are."""
    from ..batch.workers import cores

    asked = options.where.workers
    if not asked and gan.device.type == "cpu":
        asked = min(options.threads or cores(), count // (BATCHES_EACH * options.batch_size))
    return max(1, min(asked, -(-count // options.batch_size)))


def _alone(options: "CompleteCommand", gan: "Gan", reader: "Reader", questions: "Sequence[Question]") -> int:
    from ..batch.complete import drain
    from .progress import Bar

    completed = 0
    with Bar("complete", "steps") as bar:

        def watch(batch: "Batch", completion: "Completion") -> None:
            steps, numbers = max(1, completion.total), [question.number for question, _ in batch.cuts]
            done = (completed + len(reader.rejected)) * steps + completion.number * len(numbers)
            note = f"photos {numbers[0]}-{numbers[-1]}  loss {completion.loss.mean().item():.4g}"
            bar.update(done, len(questions) * steps, note)

        with closing(drain(options, gan, reader, questions, watch=watch)) as answers:
            for question, made in answers:
                if isinstance(made, LatentfillError):
                    reader.reject(question, made)
                    continue
                say(made)
                completed += 1
    return completed


def _by_several(options: "CompleteCommand", reader: "Reader", questions: "Sequence[Question]", workers: int) -> int:
    from .progress import Bar

    with Bar("complete", "photos") as bar, closing(_share_out(options, questions, workers)) as answers:
        for done, (question, told) in enumerate(answers, 1):
            if isinstance(told, str):
                reader.note(question.source.name, told)
            else:
                say(told)
            bar.update(done, len(questions))
    return len(questions) - len(reader.rejected)


def _share_out(
    options: "CompleteCommand", questions: "Sequence[Question]", workers: int
) -> Generator[Told, None, None]:
    """Each question with its answer or why there is none, from several processes; their threads are as many in all."""
    from ..batch.workers import Killed, cores, share_out

    size, threads = options.batch_size, max(1, (options.threads or cores()) // workers)
    batches = [questions[first : first + size] for first in range(0, len(questions), size)]
    while batches:
        lost: list[Sequence[Question]] = []
        for batch, made in share_out(Answerer(options, threads), batches, workers, "latentfill.batch.complete"):
            if not isinstance(made, Killed):
                yield from made
            elif len(batch) > 1:  # perhaps for want of memory; and if one alone kills, it is found
                lost += [batch[::2], batch[1::2]]
            else:
                yield batch[0], made.reason
        batches = lost


@final
class Answerer:
    """Completes a batch as the one process does. It is pickled for every process, and loads the model there."""

    def __init__(self, options: "CompleteCommand", threads: int) -> None:
        self._options, self._threads = options, threads
        self._ready: Any = None

    def __call__(self, questions: "Sequence[Question]") -> list[Told]:
        """What became of each; unusable ones first. Raises LatentfillError for what stops all others too."""
        from ..batch.complete import drain
        from ..batch.inputs import reason

        gan, reader, model = self._ready = self._ready or self._begin()
        reader.rejected.clear()
        made: list[Told] = []
        for question, answer in drain(self._options, gan, reader, questions, model=model):
            why = reason(question.source.name, answer) if isinstance(answer, LatentfillError) else answer
            made.append((question, why))
        done = {question.number for question, _ in made}
        lost = [question for question in questions if question.number not in done]
        return [*((question, why) for question, (_, why) in zip(lost, reader.rejected, strict=True)), *made]

    def _begin(self) -> "tuple[Gan, Reader, Mapping[str, str]]":
        import torch

        from ..batch.inputs import Reader
        from ..batch.outputs import model_of
        from ..models import load

        options = self._options
        torch.set_num_threads(self._threads)
        gan = load(options.model, options.device, options.class_name)
        return gan, Reader(options, gan, alone=False), model_of(gan)
