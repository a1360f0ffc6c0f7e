"""What the built-in boards `pi4` and `pi5` rest on and lead to. All but `published_networks` are scripts.

laws                the laws that scale the published table, fitted anew, with their errors
configurations      how a board's runtime configurations trade energy for latency, for one network
published_networks  graphs of networks whose latencies others published
operating_points    what configurations add to the front of a run's networks
pi4_model           the Pi 4's operator model on shapes that it never saw
power_models        the power model of a Raspberry Pi 4 against published power and energy
"""
