const floats = "float32,float64,float16,bfloat16";

const normalized = "output:T mean?:- inv_std_var?:- input_skip_bias_sum?:T";

/**
 * Inputs, outputs and attributes of ONNX Runtime's own ops, which ONNX does not know, by its `ContribOperators.md`:
 * `| inputs | outputs | attributes | types`, in the form of schemas.json, which schemas.py explains.
 */
export const contribSchemas: Readonly<Record<string, string>> = {
  Attention: `| input:T weights:T bias?:T mask_index?:M past?:T attention_bias?:T past_sequence_length?:M | output:T present?:T |
    do_rotary=int mask_filter_value=float num_heads!=int past_present_share_buffer=int qkv_hidden_sizes=ints rotary_embedding_dim=int
    scale=float unidirectional=int | T=${floats} M=int32`,
  BiasAdd: `| X:T bias:T skip:T | Y:T | | T=${floats}`,
  BiasGelu: `| A:T B:T | C:T | | T=${floats}`,
  BiasSoftmax: `| data:T bias:T | output:T | axis=int is_inner_broadcast=int | T=${floats}`,
  BiasSplitGelu: `| X:T bias:T | Y:T | | T=${floats}`,
  EmbedLayerNormalization: `| input_ids:T1 segment_ids?:T1 word_embedding:T position_embedding:T segment_embedding?:T gamma:T beta:T mask?:T1
    position_ids?:T1 | output:T mask_index?:T1 embedding_sum?:T | epsilon=float mask_index_type=int | T1=int32 T=${floats}`,
  FastGelu: `| X:T bias?:T | Y:T | | T=${floats}`,
  FusedConv: `| X:T W:T B?:T Z?:T | Y:T | activation=string activation_params=floats auto_pad=string dilations=ints group=int
    kernel_shape=ints pads=ints strides=ints | T=${floats}`,
  FusedGemm: `| A:T B:T C?:T | Y:T | activation=string activation_alpha=float activation_beta=float activation_gamma=float alpha=float
    beta=float transA=int transB=int | T=${floats}`,
  FusedMatMul: `| A:T B:T | Y:T | alpha=float transA=int transB=int transBatchA=int transBatchB=int | T=${floats}`,
  FusedMatMulActivation: `| A:T B:T | Y:T | activation=string activation_alpha=float activation_axis=int activation_beta=float
    activation_gamma=float alpha=float transA=int transB=int transBatchA=int transBatchB=int | T=${floats}`,
  Gelu: `| X:T | Y:T | | T=${floats}`,
  GemmFastGelu: `| X:T W:T bias?:T | Y:T | | T=${floats}`,
  GroupNorm: `| X:T gamma:M beta:M | Y:T | activation=int channels_last=int epsilon=float groups!=int | T=${floats} M=${floats}`,
  GroupQueryAttention: `| query:T key?:T value?:T past_key?:C past_value?:C seqlens_k:M total_sequence_length:M cos_cache?:T sin_cache?:T
    position_ids?:I attention_bias?:T head_sink?:T k_scale?:S v_scale?:S q_norm_weight?:T k_norm_weight?:T |
    output:T present_key?:C present_value?:C output_qk?:T | causal=int do_rotary=int k_quant_type=string kv_cache_bit_width=int
    kv_num_heads!=int local_window_size=int num_heads!=int qk_norm_epsilon=float qk_output=int rotary_interleaved=int scale=float
    sliding_window_cache=int smooth_softmax=int softcap=float v_quant_type=string | T=${floats} C=${floats} S=float32 M=int32 I=int64`,
  MultiHeadAttention: `| query:T key?:T value?:T bias?:T key_padding_mask?:M attention_bias?:T past_key?:T past_value?:T
    past_sequence_length?:M cache_indirection?:M | output:T present_key?:T present_value?:T qk?:- |
    mask_filter_value=float num_heads!=int scale=float unidirectional=int | T=${floats} M=int32`,
  NhwcConv: `| X:T W:T B?:T | Y:T | auto_pad=string dilations=ints group=int kernel_shape=ints pads=ints strides=ints | T=${floats}`,
  QuickGelu: `| X:T | Y:T | alpha=float | T=${floats}`,
  RotaryEmbedding: `| input:T position_ids:M cos_cache:T sin_cache:T | output:T | interleaved=int is_packed_batching=int
    num_heads=int rotary_embedding_dim=int scale=float | T=${floats} M=int64`,
  SimplifiedLayerNormalization: `| X:T scale:V | Y:V inv_std_var?:U | axis=int epsilon=float stash_type=int |
    T=${floats} U=${floats} V=${floats}`,
  SkipGroupNorm: `| X:T gamma:M beta:M skip:T bias?:T | Y:T S?:T | activation=int channels_last=int epsilon=float groups!=int | T=${floats} M=${floats}`,
  SkipLayerNormalization: `| input:T skip:T gamma:T beta?:T bias?:T | ${normalized} | epsilon=float | T=${floats}`,
  SkipSimplifiedLayerNormalization: `| input:T skip:T gamma:T bias?:T | ${normalized} | epsilon=float | T=${floats}`,
  TransposeMatMul: `| A:T B:T | Y:T | alpha=float transA=int transB=int | T=${floats}`,
};
