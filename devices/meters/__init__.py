"""Power meters, each read by a process of its own on the machine that it is attached to.

The folder is copied to a board as it is: it needs Python 3.9 and imports nothing else of the project; `smbus2`,
`pyserial` and `nvidia-ml-py` only when a meter that needs them is opened.

power_meter     the `PowerMeter` protocol, and `MeterError`
spec            a meter as the user names it, `NAME[:ADDRESS][@board|@here]`
catalogue       meters by name, and which of them this machine has: start here
server          the process: power samples behind JSON lines
sampling        a thread that reads a meter, and the ring of its samples
ina             INA219, INA226 and INA260 on an I2C bus
ina3221         INA3221, of three channels
ina228          INA228, which adds up energy itself
i2c             I2C buses, and what their errors mean
polarity        sign and scale of a sensor, and a current that flows backwards
hwmon           sensors that a driver of the kernel reads
rights          how a user gets at a device file
um25c           UM24C, UM25C and UM34C USB meters on a serial port
pmic            the Raspberry Pi 5's own sensors
rapl            energy counters of Intel and AMD processors
nvml            NVIDIA GPUs
plugs           Shelly and Tasmota smart plugs
"""
