"""Brandon Amos' "Image Completion with Deep Learning in TensorFlow" (2016), all of it in one file of plain PyTorch.

    python examples/the_post.py FOLDER

It draws pictures of faces, learns what they look like, and completes faces that it has never seen. On one processor
core that takes about ten minutes. FOLDER/samples.png shows what was learnt, FOLDER/completed.png the completions:
original, hole, completion. The headings below are the post's. http://bamos.github.io/2016/08/09/deep-completion/
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

SIZE, LATENT, BATCH = 32, 100, 64


# Step 1: Interpreting images as being samples from a probability distribution.
# The post has photographs of faces. We draw ours: what varies from one to the next is the distribution to learn.


def draw_face(rng: np.random.Generator) -> Image.Image:
    """A face at four times the size: its colours, the width of the head, the eyes and the mouth are drawn at random."""
    large, skin, hair = 4 * SIZE, rng.uniform(0.4, 0.95), rng.integers(20, 200, 3)
    picture = Image.new("RGB", (large, large), tuple(rng.integers(60, 256, 3)))
    draw, middle, width, gaze = ImageDraw.Draw(picture), large // 2, int(rng.integers(38, 50)), int(rng.integers(-3, 4))
    draw.ellipse((middle - width - 4, 8, middle + width + 4, 90), fill=tuple(hair))
    draw.ellipse((middle - width, 18, middle + width, 122), fill=(int(255 * skin), int(205 * skin), int(170 * skin)))
    for side in (-1, 1):
        x = middle + side * width // 2
        draw.ellipse((x - 10, 48, x + 10, 64), fill="white")
        draw.ellipse((x - 5 + gaze, 51, x + 5 + gaze, 61), fill=(40, 60, 80))
    smile = int(rng.integers(2, 16))
    draw.chord((middle - 20, 92 - smile, middle + 20, 92 + smile), 0, 180, fill=(170, 40, 50))
    return picture.resize((SIZE, SIZE), Image.Resampling.BOX)


def draw_faces(count: int, seed: int) -> Tensor:
    """[count, 3, SIZE, SIZE], values in [-1, 1]."""
    rng = np.random.default_rng(seed)
    pixels = np.stack([np.asarray(draw_face(rng)) for _ in range(count)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


# Step 2: Quickly generating fake images. The two networks are a DCGAN (Radford et al. 2015).
# G makes an image of a latent z, drawn uniformly from [-1, 1]^100; D says how real an image looks, as a logit.


def make_generator() -> nn.Module:
    """[n, LATENT, 1, 1] -> [n, 3, SIZE, SIZE] in [-1, 1]: every transposed convolution doubles the size."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, 128, 4), nn.BatchNorm2d(128), nn.ReLU()]
    for before, after in ((128, 64), (64, 32)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh())


def make_discriminator() -> nn.Module:
    """[n, 3, SIZE, SIZE] -> [n, 1, 1, 1] logits: every convolution halves the size."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2)]
    for before, after in ((32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(128, 1, 4))


def sample_latents(count: int) -> Tensor:
    """z ~ p_z."""
    return torch.rand(count, LATENT, 1, 1) * 2 - 1


def train(pictures: Tensor, steps: int) -> tuple[nn.Module, nn.Module]:
    """The game: D learns to tell pictures from images of G, and G to make D say "real" of its own."""
    generator, discriminator = make_generator(), make_discriminator()
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
    g_optimizer, d_optimizer = (
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)
    )
    for step in range(steps):
        real = pictures[torch.randint(len(pictures), (BATCH,))]
        with torch.no_grad():
            fake = generator(sample_latents(BATCH))
        # D maximises log D(x) + log(1 - D(G(z))). softplus(-logit) is -log D, softplus(logit) is -log(1 - D).
        d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        # G maximises log D(G(z)) rather than minimise log(1 - D(G(z))), whose slope is small where G still fails.
        for _ in range(2):  # steps of G for each of D, as in the post's repository, so that D does not run ahead
            g_loss = F.softplus(-discriminator(generator(sample_latents(BATCH)))).mean()
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        if step % 100 == 0:
            print(f"step {step} of {steps}: D {d_loss.item():.3f}, G {g_loss.item():.3f}", flush=True)
    return generator.eval(), discriminator.eval()


# Step 3: Finding the best fake image for image completion.
# Of all images that G can make we look for one that agrees with the known pixels (the contextual loss) and that D takes
# for real (the perceptual loss). What moves is z alone: the networks stay as they are.


def complete(
    generator: nn.Module, discriminator: nn.Module, y: Tensor, mask: Tensor, steps: int, lam: float = 0.1
) -> Tensor:
    """Complete y [n, 3, SIZE, SIZE] where mask [n, 1, SIZE, SIZE] is 0, by projected descent with Nesterov momentum."""
    rate, momentum = 0.001, 0.9
    z = sample_latents(len(y)).requires_grad_()
    velocity = torch.zeros_like(z)
    for _ in range(steps):
        images = generator(z)
        contextual = (mask * (images - y)).abs().sum()
        perceptual = F.softplus(-discriminator(images)).sum()
        (gradient,) = torch.autograd.grad(contextual + lam * perceptual, z)
        with torch.no_grad():
            before, velocity = velocity, momentum * velocity - rate * gradient
            z += -momentum * before + (1 + momentum) * velocity
            z.clamp_(-1, 1)  # back to where p_z has any probability
    with torch.no_grad():
        completed: Tensor = mask * y + (1 - mask) * generator(z)
    return completed


def save_grid(rows: list[Tensor], path: Path) -> None:
    """Images as rows of one picture, four times enlarged."""
    grid = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    pixels = ((grid + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels)
    picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=800, help="of the training")
    parser.add_argument("--search-steps", type=int, default=600, help="of each completion")
    words = parser.parse_args()
    words.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    generator, discriminator = train(draw_faces(words.pictures, seed=0), words.steps)
    with torch.no_grad():
        save_grid(list(generator(sample_latents(64)).split(8)), words.folder / "samples.png")
    y, mask = draw_faces(8, seed=1), torch.ones(8, 1, SIZE, SIZE)
    mask[:, :, SIZE // 4 : 3 * SIZE // 4, SIZE // 4 : 3 * SIZE // 4] = 0
    completed = complete(generator, discriminator, y, mask, words.search_steps)
    save_grid([y, mask * y + (1 - mask), completed], words.folder / "completed.png")
    print(f"{words.folder / 'samples.png'}\n{words.folder / 'completed.png'}")


if __name__ == "__main__":
    main()
