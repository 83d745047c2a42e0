"""A network to test against, without a cable or privileges: what library users import.

    network = SimulatedNetwork(seed=1, conditions=Conditions(probe_loss=0.05))
    network.place("10.0.0.0/24", closed_port())
    network.place("10.0.0.7", open_port())
    network.place("fd00::7", open_port())
    sweep(["10.0.0.0/24"], network=network)

The behaviours of hosts are in `scanner.wire.behaviours`.
"""

from scanner.wire.clock import SimulatedClock
from scanner.wire.memory_wire import MemoryWire
from scanner.wire.road import Conditions
from scanner.wire.simulated_network import SimulatedNetwork

__all__ = ["Conditions", "MemoryWire", "SimulatedClock", "SimulatedNetwork"]
