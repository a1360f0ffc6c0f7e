import numpy as np
import onnx
import onnxruntime
import pytest

from devices.agent.host import HostDevice
from devices.configuration import RuntimeConfiguration
from devices.measurement import MeasureSettings
from devices.quantization import Images, is_quantized, quantized
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import space_named


@pytest.fixture(scope="module")
def model() -> bytes:
    graph = space_named("fbnet-micro").graph(("k3_e6", "k5_e3") * 4)
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def small(model: bytes) -> bytes:
    return quantized(model)


def outputs_of(model: bytes, images: Images) -> Images:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def images_of(model: bytes, number: int) -> Images:
    shape = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].shape[1:]
    return np.random.default_rng(1).standard_normal((number, *shape), dtype=np.float32)


def test_outputs_stay_near_those_of_floats_and_the_file_shrinks(model: bytes, small: bytes) -> None:
    images = images_of(model, 4)
    expected, got = outputs_of(model, images), outputs_of(small, images)
    assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.97
    assert len(small) < 0.6 * len(model)


def test_it_is_the_same_every_time(model: bytes, small: bytes) -> None:
    assert quantized(model) == small


def test_weights_have_seven_bits_so_that_no_processor_overflows(small: bytes) -> None:
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(small).graph.initializer]
    weights = [array for array in arrays if array.dtype == np.int8 and array.ndim > 1]
    assert len(weights) > 20
    assert max(np.abs(array.astype(int)).max() for array in weights) == 64


def test_a_quantised_model_is_told_from_others_and_stays_as_it_is(model: bytes, small: bytes) -> None:
    assert is_quantized(small)
    assert not is_quantized(model)
    assert not is_quantized(b"no model")
    assert quantized(small, images_of(model, 1)) is small


def test_given_images_set_the_ranges(model: bytes, small: bytes) -> None:
    images = 0.1 * images_of(model, 4)
    expected = outputs_of(model, images)
    errors = [np.abs(outputs_of(one, images) - expected).mean() for one in (quantized(model, images), small)]
    assert errors[0] < errors[1]


def test_a_device_measures_the_int8_model(model: bytes) -> None:
    settings = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.0)
    with HostDevice(settings) as device:
        measurement = device.measure(model, RuntimeConfiguration(precision="int8"))
    assert measurement.precision == "int8"
    assert measurement.latency_ms > 0


def test_images_of_another_shape_are_refused(model: bytes) -> None:
    with pytest.raises(ValueError, match=r"must have the shape \(S, .*but got \(2, 1, 4, 4\)"):
        quantized(model, np.zeros((2, 1, 4, 4), np.float32))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="must be ONNX with one input"):
        quantized(b"no model")
