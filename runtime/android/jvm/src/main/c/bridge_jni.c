/* dev.edgefake.jvm.OrtInterpreter's native methods. */
#include <jni.h>
#include <stdlib.h>

#include "bridge.h"

static void throw_line(JNIEnv *env, const char *line) {
  jclass type = (*env)->FindClass(env, "dev/edgefake/core/ModelFileException");
  if (type != NULL) {
    (*env)->ThrowNew(env, type, line);
  }
}

JNIEXPORT jstring JNICALL Java_dev_edgefake_jvm_OrtInterpreter_load(JNIEnv *env, jclass type, jstring library) {
  (void)type;
  char error[BRIDGE_ERROR] = "";
  const char *path = (*env)->GetStringUTFChars(env, library, NULL);
  if (path == NULL) {
    return NULL;
  }
  const char *version = bridge_load(path, error);
  (*env)->ReleaseStringUTFChars(env, library, path);
  if (version == NULL) {
    throw_line(env, error);
    return NULL;
  }
  return (*env)->NewStringUTF(env, version);
}

JNIEXPORT jlong JNICALL Java_dev_edgefake_jvm_OrtInterpreter_open(JNIEnv *env, jclass type, jbyteArray model,
                                                                  jint threads) {
  (void)type;
  char error[BRIDGE_ERROR] = "out of memory";
  jbyte *bytes = (*env)->GetByteArrayElements(env, model, NULL);
  if (bytes == NULL) {
    return 0;
  }
  Bridge *bridge = bridge_open(bytes, (size_t)(*env)->GetArrayLength(env, model), threads, error);
  (*env)->ReleaseByteArrayElements(env, model, bytes, JNI_ABORT);
  if (bridge == NULL) {
    throw_line(env, error);
  }
  return (jlong)(intptr_t)bridge;
}

/* Pairs of float[] and long[]: values and shape of each output. */
static jobjectArray answer(JNIEnv *env, const BridgeTensor *found, size_t outputs) {
  jclass object = (*env)->FindClass(env, "java/lang/Object");
  jobjectArray all = object == NULL ? NULL : (*env)->NewObjectArray(env, (jsize)(2 * outputs), object, NULL);
  for (size_t i = 0; all != NULL && i < outputs; i++) {
    jfloatArray data = (*env)->NewFloatArray(env, (jsize)found[i].count);
    jlongArray shape = data == NULL ? NULL : (*env)->NewLongArray(env, (jsize)found[i].axes);
    if (shape == NULL) {
      return NULL;
    }
    (*env)->SetFloatArrayRegion(env, data, 0, (jsize)found[i].count, found[i].data);
    (*env)->SetLongArrayRegion(env, shape, 0, (jsize)found[i].axes, (const jlong *)found[i].shape);
    (*env)->SetObjectArrayElement(env, all, (jsize)(2 * i), data);
    (*env)->SetObjectArrayElement(env, all, (jsize)(2 * i + 1), shape);
    (*env)->DeleteLocalRef(env, data);
    (*env)->DeleteLocalRef(env, shape);
  }
  return all;
}

/* The texts of names; how many were had, all of them unless memory ran out (which is then thrown). */
static jsize names_of(JNIEnv *env, jobjectArray outputs, jsize count, jstring *kept, const char **names) {
  for (jsize i = 0; i < count; i++) {
    kept[i] = (*env)->GetObjectArrayElement(env, outputs, i);
    names[i] = kept[i] == NULL ? NULL : (*env)->GetStringUTFChars(env, kept[i], NULL);
    if (names[i] == NULL) {
      return i;
    }
  }
  return count;
}

JNIEXPORT jobjectArray JNICALL Java_dev_edgefake_jvm_OrtInterpreter_run(JNIEnv *env, jclass type, jlong handle,
                                                                        jfloatArray image, jlongArray shape,
                                                                        jobjectArray outputs) {
  (void)type;
  char error[BRIDGE_ERROR] = "out of memory";
  jstring kept[BRIDGE_OUTPUTS] = {NULL};
  const char *names[BRIDGE_OUTPUTS] = {NULL};
  BridgeTensor found[BRIDGE_OUTPUTS];
  int64_t sizes[BRIDGE_AXES];
  int done = -1;
  jsize count = (*env)->GetArrayLength(env, outputs);
  jsize axes = (*env)->GetArrayLength(env, shape);
  jsize values = (*env)->GetArrayLength(env, image);
  if (count > BRIDGE_OUTPUTS || axes > BRIDGE_AXES) {
    throw_line(env, "expected at most 8 outputs and axes, got more");
    return NULL;
  }
  (*env)->GetLongArrayRegion(env, shape, 0, axes, (jlong *)sizes);
  jfloat *data = (*env)->GetFloatArrayElements(env, image, NULL);
  if (data == NULL) {
    return NULL;
  }
  jsize had = names_of(env, outputs, count, kept, names);
  if (had == count) {
    done = bridge_run((Bridge *)(intptr_t)handle, data, (size_t)values, sizes, (size_t)axes, names, (size_t)count, found,
                      error);
  }
  for (jsize i = 0; i < had; i++) {
    (*env)->ReleaseStringUTFChars(env, kept[i], names[i]);
  }
  (*env)->ReleaseFloatArrayElements(env, image, data, JNI_ABORT);
  if (done != 0) {
    if (!(*env)->ExceptionCheck(env)) {
      throw_line(env, had < count ? "expected names of outputs, got none" : error);
    }
    return NULL;
  }
  jobjectArray all = answer(env, found, (size_t)count);
  bridge_free(found, (size_t)count);
  return all;
}

JNIEXPORT void JNICALL Java_dev_edgefake_jvm_OrtInterpreter_close(JNIEnv *env, jclass type, jlong handle) {
  (void)env;
  (void)type;
  bridge_close((Bridge *)(intptr_t)handle);
}
