"""What a profile of boards is made of. Importing this is quick: the command line is made from `ProfileConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import UseAppendAction

from devices.configuration import Precision, RuntimeConfiguration, RuntimeName, named_configurations


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileConfig:
    """Make the cost tables of a board: what every operator of a search space costs on it, however networks are run.

    One configuration is profiled operator by operator; each other number of threads and precision takes about ten
    whole networks, and lower clocks take a few. What was measured is kept, so that an interrupted profile goes on where
    it was, and a second one is there at once.
    """

    device: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Board: `host` (this machine, the default) or `ssh://user@host[:port]`. Give it several times for several."""
    space: str = "fbnet-micro"
    """A preset or a .yaml file (docs/search_spaces.md)."""
    size: int | None = None
    """Height and width of the images in pixels, where they are not the space's own; `--space fbnet-micro@96` says the
    same."""
    meter: str = "auto"
    """Energy meter, as in `ina219`, `um25c:/dev/rfcomm0@here`, `none` (docs/meters.md)."""
    configurations: Literal["default", "base"] = "default"
    """Ways in which the board may run a network: `default` is one thread and more, fp32 and int8, and a Raspberry Pi's
    clocks; `base` is one thread in fp32 at the governor's clock. The next four options name others."""
    threads: tuple[int, ...] = ()
    """Threads of the runtime on the board; one or several values."""
    frequency_mhz: tuple[int, ...] = ()
    """Clocks to set on the board; one or several values. Its governor decides where none is given."""
    precision: tuple[Precision, ...] = ()
    """Numbers that networks compute with; `int8` is static quantisation."""
    runtime: tuple[RuntimeName, ...] = ()
    """Runtimes on the board: `onnxruntime` (the default) and `litert`."""
    like: str | None = None
    """Table of another board (`pi4`, or a file): adapt it by ten networks measured whole, instead of a full profile."""
    networks: int | None = None
    """Whole networks that calibrate the base's table; by default six for each layer, ten with `--like`."""
    passes: int = 4
    """How often everything is measured, with all else in between; the quickest counts."""
    seed: int = 0
    """Chooses these networks."""
    out: str | None = None
    """File to write (.json), by default profiles/<board>-<space>.json; its picture goes beside it. For several boards
    a folder."""
    fresh: bool = False
    """Measure again what was measured before."""
    list_meters: bool = False
    """Say which energy meters this machine has, and end."""
    quiet: bool = False
    """Print only the result."""

    @property
    def given_configurations(self) -> tuple[RuntimeConfiguration, ...] | None:
        """Those that the user names, the base first; None for each board's default ones."""
        return named_configurations(self.configurations, self.threads, self.frequency_mhz, self.precision, self.runtime)

    @property
    def runtime_options(self) -> str:
        """Options of a search in the same configurations, each after a space."""
        options = {
            "threads": self.threads,
            "frequency-mhz": self.frequency_mhz,
            "precision": self.precision,
            "runtime": self.runtime,
        }
        text = "".join(f" --{name} {' '.join(map(str, values))}" for name, values in options.items() if values)
        return " --configurations base" if self.configurations == "base" else text

    def __post_init__(self) -> None:
        if self.networks is not None and self.networks < 3:
            raise ValueError(f"`--networks >= 3` must hold, but got {self.networks}.")
        if self.passes < 1:
            raise ValueError(f"`--passes >= 1` must hold, but got {self.passes}.")
        if self.out is not None and (len(self.device) > 1) == self.out.endswith(".json"):
            rule = "a folder for several boards" if len(self.device) > 1 else "a .json file for one board"
            raise ValueError(f"`--out` must be {rule}, but got {self.out!r}.")
        # These check themselves.
        _ = self.given_configurations
