"""What the numbers of posterior samples mean, in plain words."""

from math import isfinite

from ..objective import Terms

AGREE = 1.1  # R-hat above which chains are commonly said to disagree (Gelman et al. 2013, section 11.4)
FEW = 50  # draws' worth with which a spread is known to a tenth
STUCK = 0.2  # share of proposals; the step size aims at 0.7


def warnings(notes: Terms, row: int) -> tuple[str, ...]:
    """What a user should know of the chains of one image; nothing of a search that has none."""
    if "rhat" not in notes:
        return ()
    rhat, effective, accepted = (notes[name][row].item() for name in ("rhat", "effective", "accepted"))
    told = []
    if accepted < STUCK:
        told.append(f"hardly any proposal was accepted ({100 * accepted:.0f} %): the samples are of little worth")
    if not rhat <= AGREE:
        how = f"R-hat {rhat:.2f}" if isfinite(rhat) else "some never moved"
        told.append(f"the chains disagree ({how}): more is possible than the samples show; give more --steps")
    elif effective < FEW:
        told.append(f"the samples are worth {effective:.0f} independent ones: give more --steps for a surer spread")
    return tuple(told)
