"""What the training of a GAN measures."""

from ..record import PACE, Curve, Curves

# The columns of metrics.csv after `images_seen`, and the names of the same curves in TensorBoard (the original's).
CURVES: Curves = {
    "discriminator_loss": Curve("discriminator", "d_loss"),
    "generator_loss": Curve("generator", "g_loss"),
    "real_logit": Curve("real", "logit/real"),
    "fake_logit": Curve("fake", "logit/fake"),
    "images_per_second": PACE["images_per_second"],
    "discriminator_loss_real": Curve("discriminator_real", "d_loss_real"),
    "discriminator_loss_fake": Curve("discriminator_fake", "d_loss_fake"),
    "learning_rate": PACE["learning_rate"],
    "slope_real": Curve("slope_real", "penalty/r1"),
    "slope_fake": Curve("slope_fake", "penalty/r2"),
    "image_mse": Curve("image", "mse/image"),
    "hole_mse": Curve("hole", "mse/hole"),
    "augment": Curve("augment", "augment/probability"),
    "divergence": Curve("divergence", "nats"),
}
