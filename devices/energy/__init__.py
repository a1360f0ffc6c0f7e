"""Energy of an inference: metered, or modelled where there is no meter.

meter          the `EnergyMeter` protocol, and the `MeteredEnergy` of one run
sampled_meter  an `EnergyMeter` from power samples; start with `open_meter`
simulated_sensors  INA sensors by the registers of their data sheets
simulated_meters  every meter on a simulated board, with the windows and delays of its hardware
meter_process  a meter's server as a process of this machine
idle_baseline  power of the idle board, measured once and kept
mean_power     mean power from samples, with its standard error
power_model    power of a board by clock and busy threads, always labelled `modelled`
fitted_power   the power model of one board, fitted to networks that a meter measured on it
"""
