"""Energy of an inference: metered, or modelled where no meter is.

mean_power     mean power from samples, with the error that noise leaves on it
meter          energy of an inference run, as a meter saw it: what a device asks of a meter, and what it gets
meter_process  A meter's server as a process of this machine
power_model    energy where no meter is at hand: a constant power of each busy core, always labelled `modelled`
sampled_meter  energy from a meter that samples power in a process of its own
"""
