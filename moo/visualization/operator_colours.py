"""The colour of each operator in drawings of networks. Importing this is quick: the page has them, too."""

from __future__ import annotations

COLOURS = {
    "k3_e1": "#C6DCEF",
    "k3_e1_g2": "#A9D8C9",
    "k3_e3": "#5FA2CE",
    "k3_e6": "#0B4F8A",
    "k5_e1": "#FBD9B5",
    "k5_e1_g2": "#F2E394",
    "k5_e3": "#F08A3C",
    "k5_e6": "#A23B06",
    "skip": "#FFFFFF",
}
"""Blues for 3x3 kernels, oranges for 5x5, darker with expansion; green and yellow tints for grouped ones."""
