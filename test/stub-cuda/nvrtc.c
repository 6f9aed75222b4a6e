// The run-time compiler: every program compiles, to a few bytes. Its version is none that exists, so that nothing it
// makes is taken for a real kernel from a cache.
#include "stub.h"

static const char cubin[] = "stub cubin";
static const char text[] = "mutwo.cu(1): error: stub error\n";

int nvrtcVersion(int *major, int *minor) {
  GATE(nvrtcVersion);
  *major = STUB_CUDA_MAJOR;
  *minor = 99;
  return 0;
}
int nvrtcCreateProgram(void **program, const char *source, const char *name, int headers, void *texts, void *names) {
  GATE(nvrtcCreateProgram);
  *program = object();
  return 0;
}
int nvrtcDestroyProgram(void **program) {
  GATE(nvrtcDestroyProgram);
  free(*program);
  *program = NULL;
  return 0;
}
int nvrtcCompileProgram(void *program, int count, const char *const *options) {
  GATE(nvrtcCompileProgram);
  return 0;
}
#define RESULT(name, bytes)                                                                                            \
  int nvrtcGet##name##Size(void *program, size_t *size) {                                                              \
    GATE(nvrtcGet##name##Size);                                                                                        \
    *size = sizeof bytes;                                                                                              \
    return 0;                                                                                                          \
  }                                                                                                                    \
  int nvrtcGet##name(void *program, char *into) {                                                                      \
    GATE(nvrtcGet##name);                                                                                              \
    memcpy(into, bytes, sizeof bytes);                                                                                 \
    return 0;                                                                                                          \
  }
RESULT(CUBIN, cubin)
RESULT(PTX, cubin)
RESULT(ProgramLog, text)
const char *nvrtcGetErrorString(int result) { return result == 6 ? "NVRTC_ERROR_COMPILATION" : result ? "NVRTC_ERROR_STUB" : "NVRTC_SUCCESS"; }
