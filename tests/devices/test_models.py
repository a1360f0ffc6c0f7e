import pytest

from devices.measurement import model_key
from devices.models import Model, files_of


def test_a_model_is_one_file_or_several() -> None:
    assert files_of(b"one") == (b"one",)
    assert files_of([b"one", b"two"]) == (b"one", b"two")


def test_a_model_without_files_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one file"):
        files_of([])


def test_the_key_of_several_files_is_that_of_their_order() -> None:
    models: list[Model] = [
        b"one",
        b"two",
        b"onetwo",
        [b"one", b"two"],
        [b"two", b"one"],
        [b"onetwo"],
        [b"one", b"two", b""],
    ]
    assert len({model_key(model) for model in models}) == len(models)
    assert model_key([b"one", b"two"]) == model_key((b"one", b"two"))
