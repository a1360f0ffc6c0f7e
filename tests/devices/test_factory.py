import pytest

from devices.agent.host import HostDevice
from devices.agent.ssh import SshDevice
from devices.factory import open_device
from devices.measurement import MeasureSettings


def test_the_host_opens_by_name() -> None:
    device = open_device("host", MeasureSettings())
    try:
        assert isinstance(device, HostDevice)
        assert device.shares_host
    finally:
        device.close()


def test_a_board_over_ssh_opens_by_its_address_and_nothing_starts() -> None:
    device = open_device("ssh://pi@no-such-board.invalid:2222", MeasureSettings())
    assert isinstance(device, SshDevice)
    assert not device.shares_host
    device.close()


def test_an_unknown_board_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="must be one of host, ssh://.*, but got 'toaster'") as error:
        open_device("toaster", MeasureSettings())
    assert "\n" not in str(error.value)
