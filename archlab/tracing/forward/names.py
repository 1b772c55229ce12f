"""Names of torch's Python functions and tensor methods, sorted by what they are to a listener."""

from __future__ import annotations

from archlab.tracing.costs.names import words

VIEWS = words(
    """
    H T adjoint alias as_strided as_subclass as_tensor bfloat16 bool broadcast_to byte cdouble cfloat char chunk
    clone conj contiguous data detach diagonal double dsplit expand expand_as fill flatten float getitem half
    hsplit imag int long mH mT moveaxis movedim narrow permute positive ravel real requires_grad_ reshape
    reshape_as select short split split_with_sizes squeeze swapaxes swapdims t tensor_split transpose type
    type_as unbind unflatten unfold unsafe_chunk unsafe_split unsqueeze view view_as view_as_complex
    view_as_real vsplit zero
    """
)
"""Functions and tensor methods that are free, and no use of a parameter."""

CONVERSIONS = words("cpu cuda mps to xpu")
"""Methods that change a tensor's device."""

READS = words(
    """
    __array__ __bool__ __complex__ __contains__ __float__ __index__ __int__ allclose equal is_nonzero item numpy
    tolist
    """
)
"""Methods that need a tensor's values."""

QUERIES = words(
    """
    __deepcopy__ __format__ __hash__ __len__ __reduce_ex__ __repr__ _is_view _set_grad_enabled broadcast_shapes
    can_cast data_ptr dim element_size get_default_dtype get_device has_names is_coalesced is_complex is_conj
    is_contiguous is_floating_point is_inference is_neg is_pinned is_same_size is_set_to is_shared is_signed
    is_storage is_tensor ndimension nelement numel promote_types register_hook requires_grad_ result_type
    retain_grad size storage storage_offset stride type_ untyped_storage
    """
)
"""Functions that ask for shape, type or state."""

PRODUCTS = words(
    """
    addbmm addmm addmv baddbmm bilinear bmm chain_matmul conv1d conv2d conv3d conv_transpose1d conv_transpose2d
    conv_transpose3d dot einsum grouped_mm gru gru_cell inner int_mm linear lstm lstm_cell matmul matrix_power
    mixed_dtypes_linear mm multi_dot mv rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell
    scaled_dot_product_attention scaled_grouped_mm scaled_mm tensordot vdot weight_int4pack_mm
    weight_int8pack_mm
    """
)
"""Functions with MACs: rows even between constants."""

FACTORIES = words(
    """
    arange empty empty_like empty_permuted empty_strided eye from_numpy full full_like linspace logspace
    new_empty new_empty_strided new_full new_ones new_tensor new_zeros ones ones_like rand rand_like randint
    randint_like randn randn_like randperm scalar_tensor tensor tril_indices triu_indices zeros zeros_like
    """
)
"""Functions whose result holds nothing of the tensor that they are asked on."""
