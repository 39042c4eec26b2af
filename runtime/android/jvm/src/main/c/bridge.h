/* Networks in ONNX Runtime, from C: float32 in, float32 out. Every function may be called from any thread. */
#ifndef EDGEFAKE_BRIDGE_H
#define EDGEFAKE_BRIDGE_H

#include <stddef.h>
#include <stdint.h>

enum { BRIDGE_ERROR = 256, BRIDGE_AXES = 8, BRIDGE_OUTPUTS = 8 };

typedef struct Bridge Bridge;

/* An output: its values, row by row, and its shape. */
typedef struct BridgeTensor {
  const float *data;
  size_t count;
  int64_t shape[BRIDGE_AXES];
  size_t axes;
  void *value;
} BridgeTensor;

/* Loads ONNX Runtime's library; its version, or NULL with one line in error. A second call loads nothing. */
const char *bridge_load(const char *library, char error[BRIDGE_ERROR]);

/* Opens a model; threads 0 for one per core. NULL with one line in error. */
Bridge *bridge_open(const void *model, size_t bytes, int threads, char error[BRIDGE_ERROR]);

/*
 * Runs it on the input "image"; 0, or -1 with one line in error and nothing to free. Else the outputs are to be freed
 * with bridge_free. The shape must have as many values as data does.
 */
int bridge_run(Bridge *bridge, float *data, size_t count, const int64_t *shape, size_t axes,
               const char *const *names, size_t outputs, BridgeTensor *found, char error[BRIDGE_ERROR]);

void bridge_free(BridgeTensor *found, size_t outputs);

void bridge_close(Bridge *bridge);

#endif
