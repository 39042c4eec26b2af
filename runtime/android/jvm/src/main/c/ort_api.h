/*
 * The few functions of ONNX Runtime's C API that the bridge calls, since its wheels ship no header.
 *
 * The API is one struct of function pointers whose order never changes; new ones go to its end
 * (include/onnxruntime/core/session/onnxruntime_c_api.h of ONNX Runtime, MIT licence). What is not called here is
 * left out as so many pointers, and the assertions below hold every place that counts.
 */
#ifndef EDGEFAKE_ORT_API_H
#define EDGEFAKE_ORT_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtEnv OrtEnv;
typedef struct OrtStatus OrtStatus;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtSession OrtSession;
typedef struct OrtValue OrtValue;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;

enum { ORT_LOGGING_LEVEL_FATAL = 4, ORT_FLOAT = 1, ORT_ARENA_ALLOCATOR = 1, ORT_MEM_DEFAULT = 0, ORT_VERSION = 14 };

typedef struct OrtApi {
  void *skip_0[2];
  const char *(*GetErrorMessage)(const OrtStatus *);
  OrtStatus *(*CreateEnv)(int level, const char *log_id, OrtEnv **);
  void *skip_4[2];
  OrtStatus *(*DisableTelemetryEvents)(const OrtEnv *);
  void *skip_7[1];
  OrtStatus *(*CreateSessionFromArray)(const OrtEnv *, const void *, size_t, const OrtSessionOptions *, OrtSession **);
  OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *input_names,
                    const OrtValue *const *inputs, size_t, const char *const *output_names, size_t, OrtValue **);
  OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
  void *skip_11[11];
  OrtStatus *(*SetSessionLogSeverityLevel)(OrtSessionOptions *, int);
  void *skip_23[1];
  OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *, int);
  OrtStatus *(*SetInterOpNumThreads)(OrtSessionOptions *, int);
  void *skip_26[23];
  OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *, size_t bytes, const int64_t *shape,
                                               size_t axes, int type, OrtValue **);
  void *skip_50[1];
  OrtStatus *(*GetTensorMutableData)(OrtValue *, void **);
  void *skip_52[8];
  OrtStatus *(*GetTensorElementType)(const OrtTensorTypeAndShapeInfo *, int *);
  OrtStatus *(*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *, size_t *);
  OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *, int64_t *, size_t);
  void *skip_63[1];
  OrtStatus *(*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo *, size_t *);
  OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *, OrtTensorTypeAndShapeInfo **);
  void *skip_66[3];
  OrtStatus *(*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo **);
  void *skip_70[22];
  void (*ReleaseEnv)(OrtEnv *);
  void (*ReleaseStatus)(OrtStatus *);
  void (*ReleaseMemoryInfo)(OrtMemoryInfo *);
  void (*ReleaseSession)(OrtSession *);
  void (*ReleaseValue)(OrtValue *);
  void *skip_97[2];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *);
  void (*ReleaseSessionOptions)(OrtSessionOptions *);
  void *skip_101[29];
  OrtStatus *(*AddSessionConfigEntry)(OrtSessionOptions *, const char *key, const char *value);
} OrtApi;

#define ORT_PLACE(name, number) \
  _Static_assert(offsetof(OrtApi, name) == (number) * sizeof(void *), #name " is not in its place")
ORT_PLACE(GetErrorMessage, 2);
ORT_PLACE(DisableTelemetryEvents, 6);
ORT_PLACE(CreateSessionFromArray, 8);
ORT_PLACE(Run, 9);
ORT_PLACE(SetSessionLogSeverityLevel, 22);
ORT_PLACE(SetIntraOpNumThreads, 24);
ORT_PLACE(CreateTensorWithDataAsOrtValue, 49);
ORT_PLACE(GetTensorMutableData, 51);
ORT_PLACE(GetTensorElementType, 60);
ORT_PLACE(GetTensorShapeElementCount, 64);
ORT_PLACE(CreateCpuMemoryInfo, 69);
ORT_PLACE(ReleaseEnv, 92);
ORT_PLACE(ReleaseValue, 96);
ORT_PLACE(ReleaseTensorTypeAndShapeInfo, 99);
ORT_PLACE(AddSessionConfigEntry, 130);

typedef struct OrtApiBase {
  const OrtApi *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)(void);
} OrtApiBase;

#endif
