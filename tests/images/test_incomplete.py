import pytest
import torch

from latentfill.images.incomplete import Incomplete, concatenate


def a_question(n=3, size=16, lowres=False, first=0):
    images = torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 3, size, size).clone()
    known = torch.ones(n, 1, size, size)
    return Incomplete(images, known, torch.ones(n, 1, size // 8, size // 8) if lowres else None)


def numbers(incomplete):
    return incomplete.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("lowres", [False, True])
def test_repeating_puts_attempts_at_one_image_side_by_side(lowres):
    repeated = a_question(lowres=lowres).repeat(2)
    assert numbers(repeated) == [0, 0, 1, 1, 2, 2] and len(repeated) == 6
    assert (repeated.lowres is not None) == lowres


def test_some_images_are_selected_by_number():
    question = a_question(5, lowres=True)
    assert numbers(question.select(slice(1, 3))) == [1, 2]
    assert numbers(question.select([4, 0])) == [4, 0]
    assert numbers(question.select(torch.tensor([2]))) == [2]
    assert len(question.select([]).lowres) == 0


def test_what_was_concatenated_is_selected_again():
    parts = [a_question(2), a_question(1, first=2, lowres=True), a_question(3, first=3)]
    whole = concatenate(parts)
    assert numbers(whole) == [0, 1, 2, 3, 4, 5]
    assert whole.lowres.flatten(1).sum(1).tolist() == [0, 0, 4, 0, 0, 0]
    assert concatenate(parts[::2]).lowres is None
    assert torch.equal(whole.select(slice(2, 3)).lowres, parts[1].lowres)


def test_a_question_moves_as_one():
    moved = a_question(lowres=True).to("cpu")
    assert numbers(moved) == [0, 1, 2] and moved.lowres is not None


def test_what_cannot_be_concatenated_is_refused():
    with pytest.raises(ValueError, match="nothing to concatenate"):
        concatenate([])
    with pytest.raises(ValueError, match=r"\(3, 8, 8\), \(3, 16, 16\)"):
        concatenate([a_question(), a_question(size=8)])


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 1, 16, 16), (3, 1, 16, 8)])
def test_known_must_fit_the_images(shape):
    with pytest.raises(ValueError) as caught:
        Incomplete(torch.zeros(3, 3, 16, 16), torch.ones(shape))
    assert "(3, 3, 16, 16)" in str(caught.value) and str(shape) in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (3, 1, 16, 16)])
def test_lowres_must_fit_the_images(shape):
    with pytest.raises(ValueError) as caught:
        Incomplete(torch.zeros(3, 3, 16, 16), torch.ones(3, 1, 16, 16), torch.ones(shape))
    assert "lowres should be (3, 1, 2, 2)" in str(caught.value) and str(shape) in str(caught.value)


def test_lowres_needs_whole_blocks():
    with pytest.raises(ValueError, match=r"sides that 8 divides, but images are \(1, 3, 12, 16\)"):
        Incomplete(torch.zeros(1, 3, 12, 16), torch.ones(1, 1, 12, 16), torch.ones(1, 1, 1, 2))
