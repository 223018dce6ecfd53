import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from latentfill.errors import LatentfillError
from latentfill.evaluation import feature_spaces as embedding
from latentfill.evaluation.feature_spaces import embed, frame_face

pytest.importorskip("dlib")


def faces(count=3, size=150):
    cut = Image.fromarray(astronaut()).crop((160, 40, 300, 180))
    turned = (cut.rotate(7 * i, Image.Resampling.BICUBIC).resize((size, size)) for i in range(count))
    return np.stack([np.asarray(face) for face in turned])


def test_the_network_is_dlibs_to_the_last_digit():
    import dlib

    network = dlib.face_recognition_model_v1(str(embedding.find_file()))
    pictures = [frame_face(face) for face in faces()]
    expected = np.array([network.compute_face_descriptor(picture) for picture in pictures])
    np.testing.assert_allclose(embed(faces()), expected, atol=2e-6)


def test_a_face_is_near_itself_and_neither_neighbours_nor_number_matter(monkeypatch):
    pictures = faces(4, 64)
    found = embed(pictures)
    assert np.linalg.norm(found[0] - found[1]) < 0.45
    monkeypatch.setattr(embedding, "FACES_AT_ONCE", 3)
    np.testing.assert_allclose(embed(pictures), found, atol=1e-5)
    assert embed(pictures[:0]).shape == (0, 128)


def test_a_face_lies_where_the_network_expects_it():
    face = np.zeros((64, 64, 3), np.uint8)
    face[30:34, 30:34] = 255  # the middle of the template
    for shown in (frame_face(face), frame_face(np.asarray(Image.fromarray(face).crop((8, 8, 56, 56))), 0.75)):
        y, x = np.nonzero(shown[..., 0] > 127)
        assert shown.shape == (150, 150, 3)
        assert x.mean() + 0.5 == pytest.approx(75, abs=0.6) and y.mean() + 0.5 == pytest.approx(85, abs=0.6)
    small = frame_face(np.pad(face, ((64, 64), (64, 64), (0, 0))), 3.0)
    assert abs(small.astype(int) - frame_face(face)).mean() < 1


def test_another_file_is_refused(tmp_path, monkeypatch):
    broken = tmp_path / "dlib.dat"
    broken.write_bytes(embedding.find_file().read_bytes()[:20_000])
    with pytest.raises(LatentfillError, match="is damaged, or of another version"):
        embedding._Network(broken)
    monkeypatch.setattr(embedding.mobilenet, "find_spec", lambda name: None)
    with pytest.raises(LatentfillError, match=r"pip install 'latentfill\[faces\]'"):
        embedding.find_file()
