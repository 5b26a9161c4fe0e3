"""Random projects in the simulation, judged by an oracle that shares no code with the engine."""
