"""What a profile of boards is made of. Importing this is quick: the command line is made from `ProfileConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import UseAppendAction

from devices.configuration import Precision, RuntimeConfiguration


@dataclass(frozen=True)
class ProfileConfig:
    """Make the cost table of a board: what every operator of a search space costs on it.

    What was measured is kept, so that an interrupted profile goes on where it was, and a second one is there at once.
    """

    device: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Board: `host` (this machine, the default) or `ssh://user@host[:port]`. Give it several times for several."""
    space: str = "fbnet-micro"
    """A preset or a .yaml file (docs/search_spaces.md)."""
    meter: str = "auto"
    """Energy meter, as in `ina219`, `um25c:/dev/rfcomm0@here`, `none` (docs/meters.md)."""
    threads: int = 1
    """Threads of the runtime on the board."""
    frequency_mhz: int | None = None
    """Clock to set on the board; by default its governor decides."""
    precision: Precision = "fp32"
    """Numbers that networks compute with."""
    like: str | None = None
    """Table of another board (`pi4`, or a file): adapt it by ten networks measured whole, instead of a full profile."""
    networks: int | None = None
    """Whole networks that calibrate the table; by default six for each layer, ten with `--like`."""
    passes: int = 4
    """How often everything is measured, with all else in between; the quickest counts."""
    seed: int = 0
    """Chooses these networks."""
    out: str | None = None
    """Table to write (.json), by default profiles/<board>-<space>.json; its picture goes beside it. For several boards
    a folder."""
    fresh: bool = False
    """Measure again what was measured before."""
    list_meters: bool = False
    """Say which energy meters this machine has, and end."""
    quiet: bool = False
    """Print only the result."""

    @property
    def configuration(self) -> RuntimeConfiguration:
        """How networks are run."""
        return RuntimeConfiguration(threads=self.threads, frequency_mhz=self.frequency_mhz, precision=self.precision)

    @property
    def runtime_options(self) -> str:
        """Options of a search that measures in the same way, each after a space."""
        options = {"threads": self.threads, "frequency-mhz": self.frequency_mhz, "precision": self.precision}
        usual = {"threads": 1, "frequency-mhz": None, "precision": "fp32"}
        return "".join(f" --{name} {value}" for name, value in options.items() if value != usual[name])

    def __post_init__(self) -> None:
        if self.networks is not None and self.networks < 3:
            raise ValueError(f"`--networks >= 3` must hold, but got {self.networks}.")
        if self.passes < 1:
            raise ValueError(f"`--passes >= 1` must hold, but got {self.passes}.")
        if self.out is not None and (len(self.device) > 1) == self.out.endswith(".json"):
            rule = "a folder for several boards" if len(self.device) > 1 else "a .json file for one board"
            raise ValueError(f"`--out` must be {rule}, but got {self.out!r}.")
        # It checks itself.
        _ = self.configuration
