"""An experiment that is trained in a second."""

TINY = """
title = "Tiny"
claim = "Without BatchNorm LeNet is worse."
source = "Nobody 2026, Nothing, section 1"
protocol = "LeNet on a few digits."
refuted = "It is as good."
look = "The curves."
seeds = 2

[settings]
epochs = 1
batch_size = 32
train_samples = 64
test_samples = 40
probe_every = 1

[datasets.digits]
size = 16

[[parts]]
name = "norm"
network = "lenet"
vary = { norm = ["batch", "none"] }

[[parts.expect]]
variant = "norm=none"
baseline = "norm=batch"
direction = "lower"
published = "much worse"

[[parts]]
name = "smooth"
network = "lenet"
vary = { norm = ["batch", "none"] }
metric = "smoothness"

[[parts.expect]]
variant = "norm=none"
baseline = "norm=batch"
direction = "higher"

[[parts]]
name = "running"
network = "lenet"
vary = { momentum = [0.1, 0.5] }
metric = "running_error"

[[parts.expect]]
variant = "momentum=0.5"
direction = "equal"

[[parts]]
name = "rates"
network = "lenet"
vary = { norm = ["batch", "none"] }
metric = "max_lr"
rates = [0.1, 0.2]
seeds = 1

[[parts.expect]]
variant = "norm=none"
baseline = "norm=batch"
direction = "lower"

[[parts]]
name = "networks"
networks = [{ network = "lenet" }, { network = "lenet", name = "wide", options = { width = 2 } }]

[[parts.expect]]
variant = "wide"
baseline = "lenet"
direction = "higher"
"""
