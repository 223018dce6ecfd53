"""The types of arrays and tensors. The tests check them: within one call, a letter stands for one number."""

from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

Pixels = UInt8[ndarray, "_ _ 3"]  # as in files and cameras: RGB, of any size
PixelBatch = UInt8[ndarray, "n h w c"]  # many pictures of one size, 1 or 3 channels: the cache of a data set
Hole = UInt8[ndarray, "_ _"]  # as people paint it: 255 = to be found, 0 = given
Images = Float[Tensor, "n c h w"]  # for networks: values in [-1, 1]
Known = Float[Tensor, "n 1 h w"]  # 1 where a pixel is given, 0 in the hole: the post's M
Latents = Float[Tensor, "n d"]  # z
LargeImages = Float[Tensor, "n c 2*h 2*w"]  # the same of twice the size
LargeKnown = Float[Tensor, "n 1 2*h 2*w"]
PerImage = Float[Tensor, " n"]  # a loss or a logit for every image of a batch
