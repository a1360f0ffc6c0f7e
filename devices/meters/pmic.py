"""The Raspberry Pi 5's power management chip, by `vcgencmd pmic_read_adc`.

It reports voltage and current of about a dozen rails behind the regulators. Their sum is less than what the board
draws: losses of the regulators and all that is on the 5 V line itself, USB devices and fan included, are missing.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

from devices.meters.power_meter import MeterError, Reading
from devices.meters.rights import user_name

TIMEOUT_S = 2.0
COMMAND = "vcgencmd"
RAIL = r"^\s*(\w+)_([AV])\s*(?:\w+\(\d+\))?\s*=\s*(\d{1,6}(?:\.\d{1,12})?)[AV]\s*$"


class Pmic:
    """Sum of the rails' powers."""

    name = "pmic"
    period_s = 0.1
    """Each reading is a process on the board: reading more often would disturb what is measured."""
    window_s = 0.1
    """The rails are converted one after the other while the command runs."""
    step_w = 0.0

    def __init__(self, query: Callable[[], str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._query = query
        self._clock = clock
        self._rails: frozenset[str] = frozenset()

    def read(self) -> Reading:
        """Power of the rails now, by one call of the command.

        Raises:
            MeterError: if the command fails, reports no rail's voltage and current, or omits one that it reported
                before: its sum would not compare.
        """
        start_s = self._clock()
        output = self._query()
        time_s = (start_s + self._clock()) / 2
        powers_w = powers_of_rails(output)
        missing = sorted(self._rails - powers_w.keys())
        if missing:
            raise MeterError(
                f"`vcgencmd pmic_read_adc` must report the same rails each time, but {', '.join(missing)} are missing "
                "now: try again; use another meter if it stays so."
            )
        self._rails = self._rails or frozenset(powers_w)
        return Reading(time_s, sum(powers_w[rail] for rail in self._rails))


def powers_of_rails(output: str) -> dict[str, float]:
    """Powers in W of the rails whose voltage and current are both reported, by name.

    Args:
        output: lines as in `VDD_CORE_A current(7)=1.2A` and `VDD_CORE_V volt(15)=0.87V`.

    Raises:
        MeterError: if there is no such rail.
    """
    found = re.findall(RAIL, output, re.MULTILINE)
    amounts = {(rail, unit): float(number) for rail, unit, number in found}
    rails = sorted(rail for rail, unit in amounts if unit == "A" and (rail, "V") in amounts)
    if not rails:
        raise MeterError(
            "`vcgencmd pmic_read_adc` must report voltage and current of rails, but got "
            f"{' '.join(output.split())[:80]!a}: {_why_none(output)}."
        )
    return {rail: amounts[rail, "A"] * amounts[rail, "V"] for rail in rails}


def _why_none(output: str) -> str:
    if "vcio" in output or "VCHI" in output or "ermission" in output:
        return f"run `sudo usermod -aG video {user_name()}`, then log in anew"
    return "only a Raspberry Pi 5 has this sensor; use another meter"


def query_command(command: str = COMMAND) -> Callable[[], str]:
    """A function that asks the firmware by `command`; it raises `MeterError` if that fails or hangs."""

    def query() -> str:
        try:
            done = subprocess.run(
                [command, "pmic_read_adc"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        except OSError as error:
            raise MeterError(f"`{command}` must run, but got {error}: only a Raspberry Pi has it.") from error
        except subprocess.TimeoutExpired:
            raise MeterError(
                f"`{command}` must answer within {TIMEOUT_S:g} s, but did not: restart the board."
            ) from None
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise MeterError(
                f"`{command} pmic_read_adc` must end with code 0, but ended with {done.returncode}: "
                f"{' '.join(output.split())[:80]!a}; run `sudo usermod -aG video {user_name()}`, then log in anew."
            )
        return output

    return query
