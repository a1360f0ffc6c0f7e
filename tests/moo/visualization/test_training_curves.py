import pytest

from evaluation.training.loop import TrainRecord
from moo.visualization.training_curves import training_curves


@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_both_curves_show_every_epoch(epochs):
    records = [TrainRecord(number, 2 / number, 1 - 1 / (number + 1), 0.1) for number in range(1, epochs + 1)]
    figure = training_curves(records, "some network", "some data")
    loss, accuracy = figure.axes
    for axes in (loss, accuracy):
        assert list(axes.lines[0].get_xdata()) == list(range(1, epochs + 1))
    assert list(loss.lines[0].get_ydata()) == [record.loss for record in records]
    assert list(accuracy.lines[0].get_ydata()) == [100 * record.accuracy for record in records]
    assert {text.get_text() for text in figure.texts} == {"some network", "some data"}
    assert "nats" in loss.get_ylabel()
    assert "%" in accuracy.get_ylabel()
