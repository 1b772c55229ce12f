"""Trainings of several networks of one structure as one program: stacked seeds.

Each keeps its own trainer, network, data order, recorder, tests, probes, checkpoints and record. What is shared is the
step: `layers` makes one network of several, `stack` takes their steps with it, `lockstep` drives their trainings, and
`choice` measures whether that is quicker than one after the other.

A stacked run agrees with one that is trained by itself up to float32's rounding, which grows with the steps, and not in
its bits, as grouped convolutions add in another order: its record and its key say `stacked`.
"""
