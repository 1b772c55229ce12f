"""Engines: what trains many runs. Each starts workers, which `pool` keeps busy; `interface` says what both are.

`local` starts processes on this machine, `cluster` starts them on the nodes of a Ray cluster.
"""
