"""Names of ONNX's operators, sorted by what they cost and by what they do."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


FREE_OPERATORS = words(
    """
    And ArgMax ArgMin Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike
    CenterCropPad Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape DepthToSpace Equal Expand
    EyeLike Flatten Gather GatherElements GatherND Greater GreaterOrEqual Hardmax Identity IsInf IsNaN Less
    LessOrEqual MaxUnpool Multinomial NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement
    OptionalHasElement Or Pad RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reshape
    ReverseSequence SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape
    Size Slice SpaceToDepth Split SplitToSequence Squeeze StringConcat StringNormalizer StringSplit
    TensorScatter Tile TopK Transpose Trilu Unique Unsqueeze Where Xor
    """
)
"""They move, look up, compare, select or draw at random, without arithmetic."""

POINTWISE = words(
    """
    Abs Acos Acosh Add Asin Asinh Atan Atanh BlackmanWindow Ceil Celu Clip Cos Cosh DequantizeLinear Div Elu Erf
    Exp Floor Gelu HammingWindow HannWindow HardSigmoid HardSwish LeakyRelu Log Mish Mod Mul Neg PRelu Pow
    QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Swish Tan
    Tanh ThresholdedRelu
    """
)
"""1 elementwise operation per element of the result."""

REDUCTIONS = words(
    """
    CumProd CumSum GlobalAveragePool GlobalLpPool GlobalMaxPool NegativeLogLikelihoodLoss ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    """
)
"""1 elementwise operation per element of the first input."""

VIEWS = words(
    """
    Identity Transpose Reshape Flatten Squeeze Unsqueeze Cast CastLike Expand Slice Split Gather DequantizeLinear
    """
)
"""No use of a parameter: whoever takes their result is. Of look-ups, those by stored indices."""

NOT_CONSTANT = words(
    """
    Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike Dropout If Loop Scan
    """
)
"""Their result is no constant even if it is made of constants."""

MAPS = words(
    """
    Conv ConvTranspose ConvInteger DeformConv QLinearConv FusedConv BatchNormalization InstanceNormalization
    GroupNormalization
    """
)
"""Channels are the second axis of their result."""

VECTORS = words("Gemm FusedGemm MatMulNBits LayerNormalization RMSNormalization")
"""Features are the last axis of their result."""
