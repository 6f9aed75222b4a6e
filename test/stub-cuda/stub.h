// What all stub libraries share: calls are logged and made to fail as the environment says.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/** One line in STUB_CUDA_LOG. */
static void note(const char *line) {
  const char *place = getenv("STUB_CUDA_LOG");
  if (!place || !*line) return;
  static FILE *file;
  static char open[4096];
  pthread_mutex_lock(&lock);
  if (!file || strcmp(open, place)) {
    if (file) fclose(file);
    file = fopen(place, "a");
    if (file) setvbuf(file, NULL, _IOLBF, 1 << 16);
    snprintf(open, sizeof open, "%s", place);
  }
  if (file) fprintf(file, "%s\n", line);
  pthread_mutex_unlock(&lock);
}

/** Logs a call; the error that STUB_CUDA_FAIL="<function>:<nth call, 0 for each>=<error>" asks for, or 0. */
static int gate(const char *name) {
  static struct {
    char name[80];
    int calls;
  } known[512];
  static int count;
  int i, calls = 0;
  note(name);
  pthread_mutex_lock(&lock);
  for (i = 0; i < count && strcmp(known[i].name, name); i++) {}
  if (i == count && count < 512) snprintf(known[count++].name, sizeof known[0].name, "%s", name);
  if (i < 512) calls = ++known[i].calls;
  pthread_mutex_unlock(&lock);
  const char *fail = getenv("STUB_CUDA_FAIL");
  char wanted[80];
  int at, error;
  return fail && sscanf(fail, "%79[^:]:%d=%d", wanted, &at, &error) == 3 && !strcmp(wanted, name) && (calls == at || at == 0) ? error : 0;
}

#define GATE(name)                \
  do {                            \
    int error_ = gate(#name);     \
    if (error_) return error_;    \
  } while (0)

/** A handle of its own for each object. */
static void *object(void) { return calloc(1, 64); }
