import pytest

from devices.meters.polarity import Correction
from devices.meters.spec import KINDS, METER_NAMES, MeterSpec


@pytest.mark.parametrize(
    ("text", "name", "address", "place"),
    [
        ("ina219", "ina219", "", "board"),
        ("ina219:0x41@board", "ina219", "0x41", "board"),
        (" INA226:0x40,shunt=0.01@here ", "ina226", "0x40,shunt=0.01", "here"),
        ("um25c:/dev/rfcomm0", "um25c", "/dev/rfcomm0", "here"),
        ("um25c:/dev/rfcomm0@board", "um25c", "/dev/rfcomm0", "board"),
        ("shelly:http://192.168.1.20@here", "shelly", "http://192.168.1.20", "here"),
        ("tasmota:plug.local:8080", "tasmota", "plug.local:8080", "here"),
        ("rapl", "rapl", "", "board"),
        ("nvml:1", "nvml", "1", "here"),
    ],
)
def test_parsed(text: str, name: str, address: str, place: str) -> None:
    spec = MeterSpec.parse(text)
    assert (spec.name, spec.address, spec.place) == (name, address, place)
    assert MeterSpec.parse(f"{spec.text}@{spec.place}") == spec


def test_addresses_have_options() -> None:
    spec = MeterSpec.parse("ina219:0x41,shunt=0.05,bus=3")
    assert spec.main_address == "0x41"
    assert spec.options == {"shunt": "0.05", "bus": "3"}
    assert (spec.whole_number(0x40), spec.shunt_ohm(0.1), spec.bus(1)) == (0x41, 0.05, 3)
    only_option = MeterSpec.parse("ina219:shunt=0.05")
    assert (only_option.main_address, only_option.shunt_ohm(0.1)) == ("", 0.05)
    plain = MeterSpec.parse("ina219")
    assert (plain.whole_number(0x40), plain.shunt_ohm(0.1), plain.bus(1)) == (0x40, 0.1, 1)
    assert MeterSpec.parse("nvml:2").whole_number(0) == 2
    assert MeterSpec.parse("ina3221:0x40, channel=1+3").channels((1,)) == (1, 3)
    assert MeterSpec.parse("ina228:adcrange=1").adc_range() == 1
    assert MeterSpec.parse("hwmon:1-0040,sign=-1,scale=1.02").correction() == Correction(-1, 1.02)
    assert MeterSpec.parse("hwmon:1-0040,sign=-1,scale=1.02").main_address == "1-0040"
    assert plain.correction() == Correction()


def test_plugs_have_urls() -> None:
    for text in ("plug.local:8080", "http://plug.local:8080/"):
        assert MeterSpec.parse(f"tasmota:{text}").url == "http://plug.local:8080"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wattmeter", "must be one of auto, none, ina219, .*'wattmeter'"),
        ("", "must be one of"),
        ("none", "must be one of"),
        ("ina219@mars", "`@board` or `@here`, but got @mars"),
        ("ina219@", "`@board` or `@here`, but got 'ina219@'"),
        ("um25c", "um25c needs an address.*um25c:/dev/rfcomm0"),
        ("shelly:@here", "shelly needs an address.*http://"),
        ("ina219:0x40,gain=8", "ina219 accepts the options bus, shunt, sign, scale, but got 'gain'"),
        ("pmic:vcgencmd,shunt=1", "pmic accepts no options, but got 'shunt'"),
        ("ina219:0x99", "address of ina219 must be a whole number from 0x40 to 0x4f, but got '0x99'"),
        ("ina3221:0x44", "from 0x40 to 0x43, but got '0x44'"),
        ("ina219:43", "from 0x40 to 0x4f, but got '43': write 0x43"),
        ("ina260:shunt=0.1", "ina260 accepts the options bus, sign, scale, but got 'shunt'"),
        ("ina219:sign=-2", "`sign` of ina219 must be 1 or -1, but got '-2'"),
        ("ina219:sign=-1,sign=1", "must come once, but 'sign' comes twice"),
        ("hwmon:ina226,scale=0", "`scale` of hwmon must be a number from 0.1 to 10.*'0'"),
        ("hwmon:scale=nan", "`scale` of hwmon must be a number from 0.1 to 10.*'nan'"),
        ("hwmon:../etc", "must be named as in `hwmon:ina226`, but got '../etc'"),
        ("ina3221:channel=4", "`channel` of ina3221 must be whole numbers from 1 to 3.*'4'"),
        ("ina3221:channel=1+1", "`channel` of ina3221.*'1\\+1'"),
        ("hwmon:channel=x", "`channel` of hwmon must be whole numbers.*'x'"),
        ("ina228:adcrange=2", "`adcrange` of ina228 must be 0 .* or 1 .*'2'"),
        ("ina219:shunt=100", "above 0 and at most 10, in ohm, but got '100'"),
        ("ina226:up", "address of ina226 must be a whole number.*'up'"),
        ("nvml:-1", "address of nvml must be a whole number from 0 to 255"),
        ("ina219:bus=one", "`bus` of ina219 must be a whole number.*'one'"),
        ("shelly:file:///etc/passwd", "must be as in http://192.168.1.20, but got 'file:///etc/passwd'"),
        ("ina219:0x40,shunt", "must look like `shunt=0.1`, but got 'shunt'"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MeterSpec.parse(text)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "big"])
def test_shunts_are_above_0(value: str) -> None:
    with pytest.raises(ValueError, match="`shunt` of ina219 must be a number above 0"):
        MeterSpec.parse(f"ina219:shunt={value}")


def test_every_meter_has_a_place() -> None:
    assert {kind.place for kind in KINDS.values()} == {"board", "here"}
    assert len(METER_NAMES) == 12
