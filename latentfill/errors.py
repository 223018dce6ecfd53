"""What a user can cause and mend. The command line prints these in two lines and leaves with 2."""


class LatentfillError(Exception):
    """Something the user can mend: what is wrong, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}\n{cure}")
        self.what = what
        self.cure = cure

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.what, self.cure)  # other processes are told


class ImageError(LatentfillError):
    """A picture that cannot be used."""


class HoleError(LatentfillError):
    """A hole that does not fit, or that cannot be understood."""


class DataError(LatentfillError):
    """A collection of pictures that cannot be trained on."""


class ModelError(LatentfillError):
    """A model file that cannot be used."""


class RunError(LatentfillError):
    """A run folder that cannot be started or continued."""


class ExtraError(LatentfillError):
    """A library that an extra installs is missing: no picture is to blame, and no other will do better."""
