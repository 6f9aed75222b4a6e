// The CUDA runtime: memory is the host's, work in streams is done at once, kernels do nothing.
#include "stub.h"
#include <sys/mman.h>

enum { outOfMemory = 2, invalidValue = 1, noDevice = 100, notPermitted = 800, captureUnsupported = 900 };

/** What is held, by kind: bytes for memory, objects for the rest. */
static struct {
  long deviceBytes, hostBytes, streams, events, graphs, executables;
} held;
static int lastError;

/** Counts what is held, for tests that look for leaks: deviceBytes, hostBytes, streams, events, graphs, executables. */
long stubHeld(const char *what) {
  return !strcmp(what, "deviceBytes")   ? held.deviceBytes
         : !strcmp(what, "hostBytes")   ? held.hostBytes
         : !strcmp(what, "streams")     ? held.streams
         : !strcmp(what, "events")      ? held.events
         : !strcmp(what, "graphs")      ? held.graphs
         : !strcmp(what, "executables") ? held.executables
                                        : -1;
}

__attribute__((destructor)) static void atExit(void) {
  char line[256];
  snprintf(line, sizeof line, "held deviceBytes=%ld hostBytes=%ld streams=%ld events=%ld graphs=%ld executables=%ld",
           held.deviceBytes, held.hostBytes, held.streams, held.events, held.graphs, held.executables);
  note(line);
}

static int failed(int error) {
  if (error) lastError = error;
  return error;
}

#undef GATE
#define GATE(name)                         \
  do {                                     \
    int error_ = failed(gate(#name));      \
    if (error_) return error_;             \
  } while (0)

static size_t total(void) {
  const char *bytes = getenv("STUB_CUDA_BYTES");
  return bytes ? strtoull(bytes, 0, 10) : (size_t)80 << 30;
}

/** Zeroed pages of the host with their length before them; small pieces come in 512 bytes, as on a device. */
static void *allocate(size_t bytes, long *counter) {
  size_t rounded = bytes < 512 ? 512 : (bytes + 511) / 512 * 512, page = 4096;
  char *pages = mmap(NULL, rounded + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return NULL;
  *(size_t *)pages = rounded;
  pthread_mutex_lock(&lock);
  *counter += (long)rounded;
  pthread_mutex_unlock(&lock);
  return pages + page;
}

static void release(void *memory, long *counter) {
  if (!memory) return;
  char *pages = (char *)memory - 4096;
  size_t rounded = *(size_t *)pages;
  pthread_mutex_lock(&lock);
  *counter -= (long)rounded;
  pthread_mutex_unlock(&lock);
  munmap(pages, rounded + 4096);
}

int cudaMalloc(void **memory, size_t bytes) {
  GATE(cudaMalloc);
  if ((size_t)held.deviceBytes + bytes > total()) return failed(outOfMemory);
  *memory = allocate(bytes, &held.deviceBytes);
  return *memory ? 0 : failed(outOfMemory);
}
int cudaFree(void *memory) {
  GATE(cudaFree);
  release(memory, &held.deviceBytes);
  return 0;
}
int cudaMallocAsync(void **memory, size_t bytes, void *stream) { return cudaMalloc(memory, bytes); }
int cudaMallocFromPoolAsync(void **memory, size_t bytes, void *pool, void *stream) { return cudaMalloc(memory, bytes); }
int cudaFreeAsync(void *memory, void *stream) { return cudaFree(memory); }
int cudaHostAlloc(void **memory, size_t bytes, unsigned flags) {
  GATE(cudaHostAlloc);
  *memory = allocate(bytes, &held.hostBytes);
  return *memory ? 0 : failed(outOfMemory);
}
int cudaMallocHost(void **memory, size_t bytes) { return cudaHostAlloc(memory, bytes, 0); }
/** Set while a stream calls a function of the host, in which CUDA permits no call. */
static int inHostFunction;
static void callWaiting(void);
int cudaFreeHost(void *memory) {
  GATE(cudaFreeHost);
  if (inHostFunction) return failed(notPermitted);
  release(memory, &held.hostBytes);
  return 0;
}
int cudaMemGetInfo(size_t *free, size_t *all) {
  GATE(cudaMemGetInfo);
  *all = total();
  *free = *all - (size_t)held.deviceBytes;
  return 0;
}
int cudaMemPoolCreate(void **pool, const void *properties) {
  GATE(cudaMemPoolCreate);
  *pool = object();
  return 0;
}

int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
  GATE(cudaMemcpy);
  memmove(to, from, bytes);
  return 0;
}
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
  GATE(cudaMemcpyAsync);
  memmove(to, from, bytes);
  return 0;
}
static int rows(char *to, size_t toPitch, const char *from, size_t fromPitch, size_t width, size_t count) {
  if (width > toPitch || width > fromPitch) return failed(invalidValue);
  for (size_t i = 0; i < count; i++) memmove(to + i * toPitch, from + i * fromPitch, width);
  return 0;
}
int cudaMemcpy2D(void *to, size_t toPitch, const void *from, size_t fromPitch, size_t width, size_t count, int kind) {
  GATE(cudaMemcpy2D);
  return rows(to, toPitch, from, fromPitch, width, count);
}
int cudaMemcpy2DAsync(void *to, size_t toPitch, const void *from, size_t fromPitch, size_t width, size_t count, int kind,
                      void *stream) {
  GATE(cudaMemcpy2DAsync);
  return rows(to, toPitch, from, fromPitch, width, count);
}
int cudaMemset(void *to, int value, size_t bytes) {
  GATE(cudaMemset);
  memset(to, value, bytes);
  return 0;
}
int cudaMemsetAsync(void *to, int value, size_t bytes, void *stream) {
  GATE(cudaMemsetAsync);
  memset(to, value, bytes);
  return 0;
}

typedef struct {
  int capturing;
} Stream;

/** Streams that are being captured, all together. */
static int captures;

static int makeStream(void **stream) {
  *stream = object();
  held.streams++;
  return 0;
}
int cudaStreamCreate(void **stream) {
  GATE(cudaStreamCreate);
  return makeStream(stream);
}
int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
  GATE(cudaStreamCreateWithFlags);
  return makeStream(stream);
}
int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
  GATE(cudaStreamCreateWithPriority);
  return makeStream(stream);
}
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  GATE(cudaDeviceGetStreamPriorityRange);
  *least = 0;
  *greatest = -5;
  return 0;
}
int cudaStreamDestroy(void *stream) {
  GATE(cudaStreamDestroy);
  callWaiting(); // what a stream holds is done all the same
  free(stream);
  held.streams--;
  return 0;
}
/** Functions of the host that wait for their turn in a stream: they are called when somebody waits for it. */
static struct {
  void (*function)(void *);
  void *data;
} waiting[256];
static int waitingCount;
int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
  GATE(cudaLaunchHostFunc);
  if (waitingCount == 256) return failed(outOfMemory);
  waiting[waitingCount].function = function;
  waiting[waitingCount++].data = data;
  return 0;
}
static void callWaiting(void) {
  int i, count = waitingCount;
  if (inHostFunction) return;
  inHostFunction = 1;
  waitingCount = 0;
  for (i = 0; i < count; i++) waiting[i].function(waiting[i].data);
  inHostFunction = 0;
}
int cudaStreamSynchronize(void *stream) {
  GATE(cudaStreamSynchronize);
  callWaiting();
  return stream && ((Stream *)stream)->capturing ? failed(captureUnsupported) : 0;
}
int cudaDeviceSynchronize(void) {
  GATE(cudaDeviceSynchronize);
  callWaiting();
  return captures ? failed(captureUnsupported) : 0;
}
int cudaStreamBeginCapture(void *stream, int mode) {
  GATE(cudaStreamBeginCapture);
  if (!stream || ((Stream *)stream)->capturing) return failed(captureUnsupported);
  ((Stream *)stream)->capturing = 1;
  captures++;
  return 0;
}
int cudaStreamIsCapturing(void *stream, int *status) {
  *status = stream ? ((Stream *)stream)->capturing : 0;
  return 0;
}
int cudaStreamEndCapture(void *stream, void **graph) {
  if (!((Stream *)stream)->capturing) return failed(captureUnsupported);
  // a capture that failed is over too
  ((Stream *)stream)->capturing = 0;
  captures--;
  GATE(cudaStreamEndCapture);
  *graph = object();
  held.graphs++;
  return 0;
}
int cudaGraphInstantiate(void **executable, void *graph, uint64_t flags) {
  GATE(cudaGraphInstantiate);
  *executable = object();
  held.executables++;
  return 0;
}
int cudaGraphExecUpdate(void *executable, void *graph, void *info) {
  GATE(cudaGraphExecUpdate);
  return 0;
}
int cudaGraphDestroy(void *graph) {
  GATE(cudaGraphDestroy);
  free(graph);
  held.graphs--;
  return 0;
}
int cudaGraphExecDestroy(void *executable) {
  GATE(cudaGraphExecDestroy);
  free(executable);
  held.executables--;
  return 0;
}
static int makeEvent(void **event) {
  *event = object();
  held.events++;
  return 0;
}
int cudaEventCreate(void **event) {
  GATE(cudaEventCreate);
  return makeEvent(event);
}
int cudaEventCreateWithFlags(void **event, unsigned flags) {
  GATE(cudaEventCreateWithFlags);
  return makeEvent(event);
}
int cudaEventDestroy(void *event) {
  GATE(cudaEventDestroy);
  free(event);
  held.events--;
  return 0;
}
int cudaEventElapsedTime(float *ms, void *start, void *end) {
  GATE(cudaEventElapsedTime);
  *ms = 0.001f;
  return 0;
}

int cudaGetDeviceCount(int *count) {
  GATE(cudaGetDeviceCount);
  *count = 1;
  return 0;
}
int cudaGetDevice(int *device) {
  *device = 0;
  return 0;
}
int cudaDriverGetVersion(int *version) {
  GATE(cudaDriverGetVersion);
  *version = 1000 * STUB_CUDA_MAJOR;
  return 0;
}
int cudaRuntimeGetVersion(int *version) {
  GATE(cudaRuntimeGetVersion);
  *version = 1000 * STUB_CUDA_MAJOR;
  return 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  // compute capability 9.0, 132 multiprocessors
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : attribute == 97 ? 227 * 1024 : 1024;
  return 0;
}
int cudaDeviceGetPCIBusId(char *id, int length, int device) {
  snprintf(id, (size_t)length, "0000:00:00.0");
  return 0;
}
/** Fields of cudaDeviceProp at their offsets in CUDA 13. */
int cudaGetDeviceProperties(char *p, int device) {
  GATE(cudaGetDeviceProperties);
  memset(p, 0, 720);
  strcpy(p, "Stub GPU");
  *(size_t *)(p + 288) = total();
  *(size_t *)(p + 296) = 49152;       // shared memory of a block
  *(int *)(p + 304) = 65536;          // registers of a block
  *(int *)(p + 308) = 32;             // threads of a warp
  *(int *)(p + 320) = 1024;           // threads of a block
  *(int *)(p + 324) = 1024;           // … along each axis
  *(int *)(p + 328) = 1024;
  *(int *)(p + 332) = 64;
  *(int *)(p + 336) = 2147483647;     // blocks of a grid along each axis
  *(int *)(p + 340) = 65535;
  *(int *)(p + 344) = 65535;
  *(size_t *)(p + 352) = 65536;       // constant memory
  *(int *)(p + 360) = 9;              // compute capability
  *(int *)(p + 364) = 0;
  *(int *)(p + 384) = 132;            // multiprocessors
  *(int *)(p + 604) = 2048;           // threads of a multiprocessor
  return 0;
}

const char *cudaGetErrorName(int error) {
  return error == 0                    ? "cudaSuccess"
         : error == outOfMemory        ? "cudaErrorMemoryAllocation"
         : error == 35                 ? "cudaErrorInsufficientDriver"
         : error == noDevice           ? "cudaErrorNoDevice"
         : error == captureUnsupported ? "cudaErrorStreamCaptureUnsupported"
                                       : "cudaErrorStub";
}
const char *cudaGetErrorString(int error) {
  return error == 0                    ? "no error"
         : error == outOfMemory        ? "out of memory"
         : error == 35                 ? "CUDA driver version is insufficient for CUDA runtime version"
         : error == noDevice           ? "no CUDA-capable device is detected"
         : error == captureUnsupported ? "operation not permitted when stream is capturing"
                                       : "stub error";
}
int cudaGetLastError(void) {
  int error = lastError;
  lastError = 0;
  return error;
}
int cudaPeekAtLastError(void) { return lastError; }

void **__cudaRegisterFatBinary(void *binary) {
  static void *handle[4];
  return handle;
}
int cudaFuncGetAttributes(void *attributes, const void *function) {
  memset(attributes, 0, 64);
  return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int threads, size_t bytes,
                                                           unsigned flags) {
  *blocks = 1;
  return 0;
}
