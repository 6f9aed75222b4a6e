/** Paths of the libraries that the CUDA backend opens by itself. */
export interface CudaLibraries {
  readonly cudart: string;
  readonly cudnn: string;
  /** The run-time compiler; undefined where there is none. */
  readonly nvrtc: string | undefined;
}

/** Where CUDA's runtime and cuDNN are: CUDART_LIBRARY and CUDNN_LIBRARY, or wherever the loader finds them. */
export function findCudaLibraries(): CudaLibraries {
  return {
    cudart: process.env.CUDART_LIBRARY ?? "libcudart.so.13",
    cudnn: process.env.CUDNN_LIBRARY ?? "libcudnn.so.9",
    nvrtc: process.env.NVRTC_LIBRARY,
  };
}
