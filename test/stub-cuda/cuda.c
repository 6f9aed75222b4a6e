// The driver's API: one GPU, modules and functions that do nothing.
#include "stub.h"

int cuInit(unsigned flags) {
  GATE(cuInit);
  return 0;
}
int cuDriverGetVersion(int *version) {
  GATE(cuDriverGetVersion);
  const char *wanted = getenv("STUB_CUDA_DRIVER");
  *version = wanted ? atoi(wanted) : 1000 * STUB_CUDA_MAJOR;
  return 0;
}
int cuDeviceGetCount(int *count) {
  GATE(cuDeviceGetCount);
  const char *wanted = getenv("STUB_CUDA_DEVICES");
  *count = wanted ? atoi(wanted) : 1;
  return 0;
}
int cuDeviceGet(int *device, int ordinal) {
  GATE(cuDeviceGet);
  *device = ordinal;
  return 0;
}
int cuDeviceGetName(char *name, int length, int device) {
  GATE(cuDeviceGetName);
  snprintf(name, (size_t)length, "Stub GPU");
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  GATE(cuDeviceTotalMem_v2);
  const char *wanted = getenv("STUB_CUDA_BYTES");
  *bytes = wanted ? strtoull(wanted, 0, 10) : (size_t)80 << 30;
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  GATE(cuDeviceGetAttribute);
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1024;
  return 0;
}
int cuGetErrorString(int error, const char **text) {
  *text = error == 100   ? "no CUDA-capable device is detected"
          : error == 803 ? "system has unsupported display driver / cuda driver combination"
                         : "stub error";
  return 0;
}
int cuGetErrorName(int error, const char **text) {
  *text = error == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_STUB";
  return 0;
}
int cuModuleLoadData(void **module, const void *image) {
  GATE(cuModuleLoadData);
  // what the stub compiler makes, or the real one where NVRTC_LIBRARY names it; anything else is an invalid image
  if (strncmp(image, "stub cubin", 10) && strncmp(image, "\x7f" "ELF", 4)) return 200;
  *module = object();
  return 0;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  GATE(cuModuleGetFunction);
  *function = module; // lives as long as its module
  return 0;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  GATE(cuFuncSetAttribute);
  // 8: dynamic shared memory, of which Hopper has 227 KiB for a block
  return function && attribute == 8 && value <= 227 * 1024 ? 0 : 1;
}
int cuModuleUnload(void *module) {
  GATE(cuModuleUnload);
  free(module);
  return 0;
}
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, void *stream, void **parameters, void **extra) {
  GATE(cuLaunchKernel);
  // a device refuses the same
  if (shared > 227 * 1024) return 1;
  if (!function || !x || !y || !z || !tx || tx * ty * tz > 1024 || y > 65535 || z > 65535) return 1;
  return 0;
}
// the real compiler asks for the driver's private tables, and does without them: CUDA_ERROR_NOT_FOUND
int cuGetExportTable(const void **table, const void *id) {
  GATE(cuGetExportTable);
  *table = NULL;
  return 500;
}
