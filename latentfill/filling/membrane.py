"""A membrane over a hole: what is held around it, continued into it as smoothly as a soap film."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

Where = Bool[np.ndarray, "h w"]
Values = Float[np.ndarray, "h w c"]


def stretch(values: Values, inside: Where, absent: Where | None = None) -> Float[np.ndarray, "h w c"]:
    """The values [h, w, c], with those `inside` replaced by what solves Laplace's equation there; float32.

    It minimises the squared differences over all pairs of neighbours of which one is inside. Pixels that are `absent`,
    and those beyond the picture's border, are nobody's neighbours. A part of `inside` that no other pixel touches
    becomes 0.
    """
    there = np.ones(inside.shape, bool) if absent is None else ~absent
    inside = inside & there
    count = int(inside.sum())
    result = np.array(values, np.float32)
    if not count:
        return result
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(count)
    degree = np.full(count, 1e-9)  # not 0, for parts that nothing holds
    right = np.zeros((count, values.shape[2]))
    rows, columns = [], []
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for one, other in ((a, b), (b, a)):
            held = inside[one] & ~inside[other] & there[other]
            np.add.at(right, number[one][held], values[other][held])
            degree += np.bincount(number[one][inside[one] & there[other]], minlength=count)
        both = inside[a] & inside[b]
        rows += [number[a][both], number[b][both]]
        columns += [number[b][both], number[a][both]]
    diagonal = np.arange(count)
    entries = np.concatenate([degree, -np.ones(sum(map(len, rows)))])
    where = np.concatenate([diagonal, *rows]), np.concatenate([diagonal, *columns])
    matrix = coo_array((entries, where), shape=(count, count)).tocsc()
    factor = splu(matrix, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    result[inside] = factor.solve(right)
    return result
