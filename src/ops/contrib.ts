const floats = "float32,float64,float16,bfloat16";

const normalized = "output:T mean?:- inv_std_var?:- input_skip_bias_sum?:T";

/**
 * Inputs, outputs and attributes of ONNX Runtime's own ops, which ONNX does not know, by its `ContribOperators.md`:
 * `| inputs | outputs | attributes | types`, in the form of schemas.json, which schemas.py explains.
 */
export const contribSchemas = {
  BiasGelu: `| A:T B:T | C:T | | T=${floats}`,
  FastGelu: `| X:T bias?:T | Y:T | | T=${floats}`,
  FusedMatMul: `| A:T B:T | Y:T | alpha=float transA=int transB=int transBatchA=int transBatchB=int | T=${floats}`,
  Gelu: `| X:T | Y:T | | T=${floats}`,
  MultiHeadAttention: `| query:T key?:T value?:T bias?:T key_padding_mask?:M attention_bias?:T past_key?:T past_value?:T
    past_sequence_length?:M cache_indirection?:M | output:T present_key?:T present_value?:T qk?:- |
    mask_filter_value=float num_heads!=int scale=float unidirectional=int | T=${floats} M=int32`,
  QuickGelu: `| X:T | Y:T | alpha=float | T=${floats}`,
  RotaryEmbedding: `| input:T position_ids:M cos_cache:T sin_cache:T | output:T | interleaved=int is_packed_batching=int
    num_heads=int rotary_embedding_dim=int scale=float | T=${floats} M=int64`,
  SimplifiedLayerNormalization: `| X:T scale:V | Y:V inv_std_var?:U | axis=int epsilon=float stash_type=int |
    T=${floats} U=${floats} V=${floats}`,
  SkipLayerNormalization: `| input:T skip:T gamma:T beta?:T bias?:T | ${normalized} | epsilon=float | T=${floats}`,
  SkipSimplifiedLayerNormalization: `| input:T skip:T gamma:T bias?:T | ${normalized} | epsilon=float | T=${floats}`,
} as const;
