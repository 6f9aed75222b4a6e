// cuDNN: descriptors, one algorithm for every convolution, results that are never written.
#include "stub.h"

size_t cudnnGetVersion(void) { return 91400; }
const char *cudnnGetErrorString(int status) {
  return status == 3000 ? "CUDNN_STATUS_NOT_SUPPORTED" : status ? "CUDNN_STATUS_STUB" : "CUDNN_STATUS_SUCCESS";
}

int cudnnSetStream(void **handle, void *stream) {
  GATE(cudnnSetStream);
  *handle = stream;
  return 0;
}
int cudnnGetStream(void **handle, void **stream) {
  GATE(cudnnGetStream);
  *stream = *handle;
  return 0;
}
int cudnnGetReductionIndicesSize(void *handle, void *reduction, void *a, void *c, size_t *bytes) {
  GATE(cudnnGetReductionIndicesSize);
  *bytes = 1024;
  return 0;
}
int cudnnGetReductionWorkspaceSize(void *handle, void *reduction, void *a, void *c, size_t *bytes) {
  GATE(cudnnGetReductionWorkspaceSize);
  *bytes = 1024;
  return 0;
}
int cudnnDropoutGetStatesSize(void *handle, size_t *bytes) {
  GATE(cudnnDropoutGetStatesSize);
  *bytes = 1024;
  return 0;
}

/** cudnnConvolution…AlgoPerf_t. */
typedef struct {
  int algorithm, status;
  float ms;
  size_t bytes;
  int deterministic, math, reserved[3];
} Algorithm;

#define FIND(name)                                                                                                     \
  int name(void *handle, void *aType, void *a, void *bType, void *b, void *convolution, void *outType, void *out,      \
           int asked, int *found, Algorithm *results, void *workspace, size_t bytes) {                                 \
    GATE(name);                                                                                                        \
    memset(results, 0, sizeof *results);                                                                               \
    results[0] = (Algorithm){.algorithm = 1, .ms = 0.001f, .bytes = 1024, .deterministic = 1};                         \
    *found = 1;                                                                                                        \
    return 0;                                                                                                          \
  }
FIND(cudnnFindConvolutionForwardAlgorithmEx)
FIND(cudnnFindConvolutionBackwardDataAlgorithmEx)
FIND(cudnnFindConvolutionBackwardFilterAlgorithmEx)

#define WORKSPACE(name)                                                                                                \
  int name(void *handle, void *a, void *b, void *convolution, void *out, int algorithm, size_t *bytes) {               \
    GATE(name);                                                                                                        \
    *bytes = 1024;                                                                                                     \
    return 0;                                                                                                          \
  }
WORKSPACE(cudnnGetConvolutionForwardWorkspaceSize)
WORKSPACE(cudnnGetConvolutionBackwardDataWorkspaceSize)
WORKSPACE(cudnnGetConvolutionBackwardFilterWorkspaceSize)

// The graph interface, which ONNX Runtime's own convolutions and pooling use: one engine for everything.
int cudnnBackendCreateDescriptor(int type, void **made) {
  GATE(cudnnBackendCreateDescriptor);
  *made = object();
  return 0;
}
int cudnnBackendDestroyDescriptor(void *descriptor) {
  GATE(cudnnBackendDestroyDescriptor);
  free(descriptor);
  return 0;
}
int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t asked, int64_t *count, void *elements) {
  GATE(cudnnBackendGetAttribute);
  enum { descriptorType = 15, engineNotes = 1303, engineBehaviour = 1305 };
  if (count) *count = name == engineNotes || name == engineBehaviour ? 0 : 1;
  // descriptors to be filled in are the caller's; everything else is a number
  if (elements && asked > 0 && type != descriptorType) *(int64_t *)elements = 0;
  return 0;
}
