"""What each measure means, for a student, with its source."""

from __future__ import annotations

from dataclasses import dataclass, fields

from archlab.records import Probes
from archlab.reports.material import Material
from archlab.reports.templating import Section, render


@dataclass(frozen=True)
class Term:
    """A word of the page."""

    word: str
    meaning: str
    source: str = ""
    about: str = "training"
    """What a page must be about to have it: `network`, `training`, `comparison`, `profile`, or a field of `Probes`."""


TERMS = (
    Term(
        "parameters",
        "Numbers that training changes: weights, biases, and BatchNorm's gamma and beta. Each counts once, also "
        "where two layers share it.",
        about="network",
    ),
    Term(
        "buffers",
        "Numbers that belong to the network and are saved with it, but that no gradient changes: BatchNorm's running "
        "statistics and its counter of batches.",
        about="network",
    ),
    Term(
        "MACs",
        "Multiply-accumulates of one forward pass: convolutions, linear layers, matrix products, recurrent layers, "
        "attention. A 3 × 3 convolution from 64 to 32 channels needs 3 · 3 · 64 · 32 for each output position. Biases, "
        "normalisation, activation and pooling are not in it.",
        about="network",
    ),
    Term("FLOPs", "Twice the MACs: a multiplication and an addition each.", about="network"),
    Term(
        "receptive field",
        "How many positions of the input one output position can see.",
        "Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019",
        "network",
    ),
    Term(
        "roofline, ridge",
        "A layer takes at least as long as its FLOPs take at the machine's peak, and at least as long as the bytes "
        "that it has to move take at its bandwidth. Which is longer depends on its FLOPs per byte: below the ridge, "
        "peak over bandwidth, memory bounds it, above arithmetic does.",
        "Williams, Waterman and Patterson, Roofline, Communications of the ACM 52(4), 2009",
        "profile",
    ),
    Term(
        "skip connection",
        "A path around some layers whose value is added to their result (ResNet) or put beside it as further channels "
        "(DenseNet).",
        "He et al., Deep Residual Learning for Image Recognition, 2015, section 3; Huang et al., Densely Connected "
        "Convolutional Networks, 2017, section 3",
        "network",
    ),
    Term(
        "epoch, step, batch",
        "A batch is the images that one step sees; a step changes the weights once; an epoch is one pass over all "
        "training images.",
    ),
    Term(
        "loss",
        "Mean cross-entropy in nats: minus the logarithm of the probability that the network gives the right class. "
        "Guessing among ten classes costs ln 10 = 2.303.",
    ),
    Term("accuracy", "The share of images whose most probable class is the right one."),
    Term(
        "batch statistics",
        "Mean and variance of a channel over one batch; a BatchNorm layer normalises with them while it trains.",
        "Ioffe and Szegedy, Batch Normalization, 2015, algorithm 1",
    ),
    Term(
        "evaluation (running statistics)",
        "What model.eval() gives: BatchNorm normalises by its running statistics, exponential averages of the batch "
        "statistics, new = 0.9 · old + 0.1 · batch by default. They lag behind weights that still change, so that test "
        "accuracy with them can swing from epoch to epoch.",
        "Ioffe and Szegedy, Batch Normalization, 2015, section 3.1",
    ),
    Term(
        "precise statistics",
        "Mean and variance of a channel over training images with the weights frozen: what the running statistics try "
        "to be. Test accuracy with them tells what the weights can do, whatever the averages have missed. Their "
        "use is also called precise BatchNorm.",
        "Wu and Johnson, Rethinking “Batch” in BatchNorm, 2021, section 3",
    ),
    Term(
        "gamma and beta",
        "The scale and the shift that a BatchNorm layer learns for each channel and applies after normalising.",
        "Ioffe and Szegedy, Batch Normalization, 2015, section 3",
    ),
    Term(
        "lag of the running statistics",
        "For the mean: the distance between running and precise mean in precise standard deviations. For the "
        "variance: the absolute logarithm of running over precise variance. Both averaged over channels.",
    ),
    Term(
        "verdict",
        "What a check says about the runs, from their records alone. A problem: a result can’t be used as it is. A "
        "warning: it may mislead. A note: good to know. What was looked at and is in order is listed too.",
    ),
    Term(
        "noise of batch statistics",
        "How far a channel’s mean scatters from batch to batch, in precise standard deviations, apart from the "
        "drift of training. A batch of n independent values per channel gives 1 / √n; neighbouring pixels are not "
        "independent.",
        "Wu and He, Group Normalization, 2018, section 1",
    ),
    Term(
        "dead, constant and collapsed channels",
        "A dead channel has gamma and beta near 0 and passes on nothing. A constant one has gamma near 0 only, and "
        "passes on beta. A collapsed one has an input that hardly varies, so that BatchNorm’s eps decides its scale.",
        "Liu et al., Learning Efficient Convolutional Networks through Network Slimming, 2017, section 3",
    ),
    Term(
        "variant, seed, pair",
        "A variant is one setting of what is compared. A seed decides first weights and the order of the data. Two "
        "runs with the same seed and different variants are a pair.",
        about="comparison",
    ),
    Term(
        "95 % interval",
        "A range made by a procedure that covers the true mean in 95 of 100 repetitions of the whole experiment. "
        "Means and curves: by Student's t over the seeds. Differences: the outer bounds of Student's t and of a "
        "bootstrap over the pairs.",
        "Efron, Better Bootstrap Confidence Intervals, 1987",
        "comparison",
    ),
    Term(
        "paired difference",
        "Variant minus baseline within each pair. What both runs share, above all the order of the data, drops out.",
        about="comparison",
    ),
    Term(
        "p value",
        "How often a difference at least this large would come up if the two names in each pair were exchanged by "
        "chance. With n pairs it can't be smaller than 2 / 2ⁿ: .25 for three seeds, .031 for six.",
        "Fisher, The Design of Experiments, 1935, section 21",
        "comparison",
    ),
    Term(
        "correlation",
        "Between the two sides over the seeds: what the pairing achieved. Near 0 the pairs are no closer than "
        "strangers, near 1 they share nearly all of their noise.",
        about="comparison",
    ),
    Term(
        "vanishing and exploding gradients",
        "The gradient of the loss comes back through the layers from the last to the first, and is multiplied in each. "
        "Where the factors are mostly below 1 it shrinks by powers of ten, and the first layers hardly learn; where "
        "they are above 1 it grows without bound. A gradient norm is that of the mean loss of the probed images with "
        "respect to all elements that a layer gives.",
        "Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010, section 4",
        "signals",
    ),
    Term(
        "saturated",
        "The share of a bounded activation’s values (sigmoid, tanh) that lie within 5 % of its range of one of its "
        "ends, where its slope is small, and little gradient comes through.",
        "Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010, section 3",
        "signals",
    ),
    Term(
        "update ratio",
        "How far one step moved a layer’s weights: the norm of the change over that of the weights before it, whatever "
        "the optimiser.",
        about="signals",
    ),
    Term(
        "branch and skip variance",
        "The variances, over all elements, of the two sides of an addition that ends a residual block. Their ratio "
        "says how much of a block’s result is new.",
        "De and Smith, Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks, "
        "2020, section 3",
        "branches",
    ),
    Term(
        "internal covariate shift",
        "How far a step of the layers before a layer changes that layer’s own gradient: |G − G′|, where G is the "
        "gradient before the step, and G′ that with the layers before it as they are after the step. A cosine of 1: "
        "the layer’s own problem stays as it was. Of the network’s probed images, for at most 16 layers.",
        "Santurkar, Tsipras, Ilyas and Madry, How Does Batch Normalization Help Optimization?, 2018, definition 2.1",
        "shift",
    ),
    Term(
        "effective rank, saturation of features",
        "How many dimensions a layer’s features use. The effective rank is exp(−Σ p log p) of the singular values p, "
        "divided by their sum: 1 where all lie on a line, the number of channels where all directions count alike. The "
        "saturation is the share of dimensions that hold 99 % of the variance.",
        "Roy and Vetterli, The Effective Rank, 2007, section 2; Richter et al., Feature Space Saturation during "
        "Training, 2021",
        "rank",
    ),
    Term(
        "CKA",
        "Centred kernel alignment: how alike two layers, or two networks, see the same images. Of each layer the inner "
        "products of all pairs of images are taken, and compared. It is the same under rotations and a scale of the "
        "features. Here with a linear kernel, and debiased, so that layers that have nothing in common get about 0.",
        "Kornblith, Norouzi, Lee and Hinton, Similarity of Neural Network Representations Revisited, 2019, section 3",
        "similarity",
    ),
    Term(
        "shattered gradients",
        "In deep networks without skip connections the gradients with respect to two nearly equal images have as "
        "little to do with each other as white noise. The cosine of the two shows it, by how far apart the images are.",
        "Balduzzi, Frean, Leary, Lewis, Ma and McWilliams, The Shattered Gradients Problem, 2017, section 2",
        "correlation",
    ),
    Term(
        "smoothness",
        "How little the loss and its gradient change over the length of a step. The loss at w − ηg is measured for "
        "weights w, their gradient g and a range of step lengths η, and so is the gradient there. On a smooth loss "
        "both stay close to what they were at w, so that a step does what the gradient promised.",
        "Santurkar, Tsipras, Ilyas and Madry, How Does Batch Normalization Help Optimization?, 2018, section 3.2",
        "smoothness",
    ),
    Term(
        "effective β-smoothness",
        "A loss is β-smooth if its gradient changes by at most β times the distance between two points. The effective "
        "β is the largest such ratio that was measured along the gradient. Gradient descent is sure to lower the loss "
        "with steps η below 2 / β.",
        "Santurkar, Tsipras, Ilyas and Madry, How Does Batch Normalization Help Optimization?, 2018, section 3.2",
        "smoothness",
    ),
    Term(
        "filter-normalised landscape",
        "The loss in a plane through the trained weights, spanned by two random directions. In each direction every "
        "filter has the norm of the network’s own filter, since with ReLU or BatchNorm the scale of a filter means "
        "little by itself: so that the width of a valley can be compared between networks. Biases, gamma and beta stay "
        "as they are. A plane shows two directions of very many.",
        "Li, Xu, Taylor, Studer and Goldstein, Visualizing the Loss Landscape of Neural Nets, 2018, section 4",
        "landscape",
    ),
)


def glossary_section(material: Material) -> Section:
    """The words that this page uses."""
    wanted = {"network"} if material.traces else set()
    if material.profiles:
        wanted.add("profile")
    if material.experiments or material.healths:
        wanted.add("training")
    if any(experiment.comparison for experiment in material.experiments):
        wanted.add("comparison")
    runs = [run for experiment in material.experiments for run in experiment.runs]
    for probes in map(material.probes, runs):
        wanted |= {kind.name for kind in fields(Probes) if getattr(probes, kind.name, None) is not None}
    terms = [term for term in TERMS if term.about in wanted]
    return Section("glossary", "Glossary", render("glossary.html", terms=terms))
