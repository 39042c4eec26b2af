#define _POSIX_C_SOURCE 200809L

#include "bridge.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ort_api.h"

struct Bridge {
  OrtSession *session;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const OrtApi *api;
static OrtEnv *env;
static const char *version;

static void say(char error[BRIDGE_ERROR], const char *text) {
  snprintf(error, BRIDGE_ERROR, "%s", text);
  error[strcspn(error, "\r\n")] = '\0';
}

/* Frees a status; whether it was one of success. */
static int good(OrtStatus *status, char error[BRIDGE_ERROR]) {
  if (status == NULL) {
    return 1;
  }
  say(error, api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return 0;
}

/* ONNX Runtime 1.32 names the machine and reports to its maker, from being loaded on, unless it is told not to. */
static const char *load(const char *library, char error[BRIDGE_ERROR]) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  const OrtApiBase *(*get_base)(void) = NULL;
  if (handle != NULL) {
    *(void **)&get_base = dlsym(handle, "OrtGetApiBase");
  }
  if (get_base == NULL) {
    const char *reason = dlerror();
    say(error, reason != NULL ? reason : "no OrtGetApiBase in the library");
    return NULL;
  }
  api = get_base()->GetApi(ORT_VERSION);
  if (api == NULL) {
    say(error, "expected ONNX Runtime 1.14 or newer, got an older one");
    return NULL;
  }
  if (!good(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "edgefake", &env), error) ||
      !good(api->DisableTelemetryEvents(env), error)) {
    return NULL;
  }
  return get_base()->GetVersionString();
}

const char *bridge_load(const char *library, char error[BRIDGE_ERROR]) {
  pthread_mutex_lock(&lock);
  if (version == NULL) {
    version = load(library, error);
  }
  pthread_mutex_unlock(&lock);
  return version;
}

/* As edgefake_runtime.session opens them: threads sleep when they wait, and products of 8 bits are exact on x86. */
static OrtSessionOptions *options_of(int threads, char error[BRIDGE_ERROR]) {
  OrtSessionOptions *options = NULL;
  if (!good(api->CreateSessionOptions(&options), error)) {
    return NULL;
  }
  int done = good(api->SetIntraOpNumThreads(options, threads), error) &&
             good(api->SetInterOpNumThreads(options, 1), error) &&
             good(api->SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_FATAL), error) &&
             good(api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"), error);
#if defined(__x86_64__)
  done = done && good(api->AddSessionConfigEntry(options, "session.x64quantprecision", "1"), error);
#endif
  if (!done) {
    api->ReleaseSessionOptions(options);
    return NULL;
  }
  return options;
}

Bridge *bridge_open(const void *model, size_t bytes, int threads, char error[BRIDGE_ERROR]) {
  if (version == NULL) {
    say(error, "expected a loaded ONNX Runtime, got none; load its library first");
    return NULL;
  }
  Bridge *bridge = calloc(1, sizeof *bridge);
  OrtSessionOptions *options = bridge == NULL ? NULL : options_of(threads, error);
  if (options == NULL) {
    free(bridge);
    return NULL;
  }
  int done = good(api->CreateSessionFromArray(env, model, bytes, options, &bridge->session), error);
  api->ReleaseSessionOptions(options);
  if (!done) {
    free(bridge);
    return NULL;
  }
  return bridge;
}

static int read_tensor(OrtValue *value, BridgeTensor *found, char error[BRIDGE_ERROR]) {
  OrtTensorTypeAndShapeInfo *info = NULL;
  if (!good(api->GetTensorTypeAndShape(value, &info), error)) {
    return 0;
  }
  int type = 0;
  void *data = NULL;
  int done = good(api->GetTensorElementType(info, &type), error) &&
             good(api->GetDimensionsCount(info, &found->axes), error) &&
             good(api->GetTensorShapeElementCount(info, &found->count), error);
  if (done && (type != ORT_FLOAT || found->axes > BRIDGE_AXES)) {
    say(error, "expected a float32 output of at most 8 axes, got another");
    done = 0;
  }
  done = done && good(api->GetDimensions(info, found->shape, found->axes), error) &&
         good(api->GetTensorMutableData(value, &data), error);
  api->ReleaseTensorTypeAndShapeInfo(info);
  found->data = data;
  found->value = value;
  return done;
}

int bridge_run(Bridge *bridge, float *data, size_t count, const int64_t *shape, size_t axes,
               const char *const *names, size_t outputs, BridgeTensor *found, char error[BRIDGE_ERROR]) {
  OrtMemoryInfo *memory = NULL;
  OrtValue *image = NULL;
  OrtValue *values[BRIDGE_OUTPUTS] = {NULL};
  const char *input = "image";
  if (outputs > BRIDGE_OUTPUTS) {
    say(error, "expected at most 8 outputs, got more");
    return -1;
  }
  int done = good(api->CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR, ORT_MEM_DEFAULT, &memory), error);
  done = done && good(api->CreateTensorWithDataAsOrtValue(memory, data, count * sizeof *data, shape, axes, ORT_FLOAT,
                                                          &image),
                      error);
  done = done && good(api->Run(bridge->session, NULL, &input, (const OrtValue *const *)&image, 1, names, outputs,
                               values),
                      error);
  for (size_t i = 0; done && i < outputs; i++) {
    done = read_tensor(values[i], &found[i], error);
  }
  for (size_t i = 0; !done && i < outputs; i++) {
    if (values[i] != NULL) {
      api->ReleaseValue(values[i]);
    }
  }
  if (image != NULL) {
    api->ReleaseValue(image);
  }
  if (memory != NULL) {
    api->ReleaseMemoryInfo(memory);
  }
  return done ? 0 : -1;
}

void bridge_free(BridgeTensor *found, size_t outputs) {
  for (size_t i = 0; i < outputs; i++) {
    api->ReleaseValue(found[i].value);
  }
}

void bridge_close(Bridge *bridge) {
  api->ReleaseSession(bridge->session);
  free(bridge);
}
