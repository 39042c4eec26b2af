/*
 * One run of one network without a JVM: bridge_main LIBRARY MODEL INPUT SHAPE OUTPUT [OUTPUT ...]
 *
 * INPUT is a file of float32 values, SHAPE their sizes such as 1,3,24,24. Prints ONNX Runtime's version, then a line for
 * each output: its name, its shape, and its values with nine digits, which is all that a float32 has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

static void *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  void *data = NULL;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
    long size = ftell(file);
    rewind(file);
    data = size > 0 ? malloc((size_t)size) : NULL;
    if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
      free(data);
      data = NULL;
    }
    *bytes = (size_t)size;
  }
  if (file != NULL) {
    fclose(file);
  }
  return data;
}

static size_t read_shape(char *text, int64_t shape[BRIDGE_AXES]) {
  size_t axes = 0;
  for (char *part = strtok(text, ","); part != NULL && axes < BRIDGE_AXES; part = strtok(NULL, ",")) {
    shape[axes++] = strtoll(part, NULL, 10);
  }
  return axes;
}

static void print_tensor(const char *name, const BridgeTensor *tensor) {
  printf("%s", name);
  for (size_t axis = 0; axis < tensor->axes; axis++) {
    printf("%c%lld", axis == 0 ? ' ' : ',', (long long)tensor->shape[axis]);
  }
  for (size_t i = 0; i < tensor->count; i++) {
    printf(" %.9g", (double)tensor->data[i]);
  }
  printf("\n");
}

static int fail(const char *what, const char *error) {
  fprintf(stderr, "%s: %s\n", what, error);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 6 || argc - 5 > BRIDGE_OUTPUTS) {
    return fail("bridge_main", "expected LIBRARY MODEL INPUT SHAPE OUTPUT [OUTPUT ...]");
  }
  char error[BRIDGE_ERROR] = "out of memory";
  int64_t shape[BRIDGE_AXES];
  BridgeTensor found[BRIDGE_OUTPUTS];
  size_t model_bytes = 0;
  size_t input_bytes = 0;
  size_t outputs = (size_t)argc - 5;
  void *model = read_file(argv[2], &model_bytes);
  float *input = read_file(argv[3], &input_bytes);
  if (model == NULL || input == NULL) {
    return fail(model == NULL ? argv[2] : argv[3], "expected a file that can be read");
  }
  const char *version = bridge_load(argv[1], error);
  if (version == NULL) {
    return fail(argv[1], error);
  }
  Bridge *bridge = bridge_open(model, model_bytes, 1, error);
  free(model);
  if (bridge == NULL) {
    return fail(argv[2], error);
  }
  size_t axes = read_shape(argv[4], shape);
  const char *const *names = (const char *const *)(argv + 5);
  int done = bridge_run(bridge, input, input_bytes / sizeof *input, shape, axes, names, outputs, found, error);
  if (done == 0) {
    printf("version %s\n", version);
    for (size_t i = 0; i < outputs; i++) {
      print_tensor(names[i], &found[i]);
    }
    bridge_free(found, outputs);
  } else {
    fail(argv[2], error);
  }
  bridge_close(bridge);
  free(input);
  return done == 0 ? 0 : 1;
}
