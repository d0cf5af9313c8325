"""What the tests of the faces share."""

import pytest
from made_faces import opened


@pytest.fixture(scope="module")
def faces(faces_folder, tmp_path_factory):
    """Return 23 drawn faces, opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW1_CACHE", str(tmp_path_factory.mktemp("cache")))
        return opened(faces_folder)
