#pragma once
// Objects that operators take: tensors, arrays, executors (libnnopbase). Not linked, see ascend_runtime.h.

#include "ascend_runtime.h"

// MARK: - Objects of the operators

// Strides and offset in elements; stride NULL for contiguous. A transposed weight is a view {K, N} with strides {1, K}
// of storage {N, K}. `aclGetViewShape` and its kin allocate the array with new[]. Scalars and arrays are copied. An
// executor is used up by the second stage unless aclSetAclOpExecutorRepeatable was called right behind the first; then it
// is destroyed by aclDestroyAclOpExecutor, its tensors must be there at every launch, and their addresses are changed by
// the index of a parameter: of a tensor among all tensors, of a list (irIndex) among all parameters that are either.

aclTensor *aclCreateTensor(
    const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride, int64_t offset,
    aclFormat format, const int64_t *storageDims, uint64_t storageDimsNum, void *tensorData);
aclScalar *aclCreateScalar(void *value, aclDataType dataType);
aclIntArray *aclCreateIntArray(const int64_t *value, uint64_t size);
aclFloatArray *aclCreateFloatArray(const float *value, uint64_t size);
aclBoolArray *aclCreateBoolArray(const bool *value, uint64_t size);
aclTensorList *aclCreateTensorList(const aclTensor *const *value, uint64_t size);
aclScalarList *aclCreateScalarList(const aclScalar *const *value, uint64_t size);
aclnnStatus aclDestroyTensor(const aclTensor *tensor);
aclnnStatus aclDestroyScalar(const aclScalar *scalar);
aclnnStatus aclDestroyIntArray(const aclIntArray *array);
aclnnStatus aclDestroyFloatArray(const aclFloatArray *array);
aclnnStatus aclDestroyBoolArray(const aclBoolArray *array);
aclnnStatus aclDestroyTensorList(const aclTensorList *array);
aclnnStatus aclDestroyScalarList(const aclScalarList *array);
aclnnStatus aclGetViewShape(const aclTensor *tensor, int64_t **viewDims, uint64_t *viewDimsNum);
aclnnStatus aclGetStorageShape(const aclTensor *tensor, int64_t **storageDims, uint64_t *storageDimsNum);
aclnnStatus aclGetViewStrides(const aclTensor *tensor, int64_t **stridesValue, uint64_t *stridesNum);
aclnnStatus aclGetViewOffset(const aclTensor *tensor, int64_t *offset);
aclnnStatus aclGetFormat(const aclTensor *tensor, aclFormat *format);
aclnnStatus aclGetDataType(const aclTensor *tensor, aclDataType *dataType);
aclnnStatus aclInitTensor(
    aclTensor *tensor, const int64_t *viewDims, uint64_t viewDimsNum, aclDataType dataType, const int64_t *stride,
    int64_t offset, aclFormat format, const int64_t *storageDims, uint64_t storageDimsNum, void *tensorDataAddr);
aclnnStatus aclSetRawTensorAddr(aclTensor *tensor, void *addr);
aclnnStatus aclGetRawTensorAddr(const aclTensor *tensor, void **addr);
aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor *executor);
aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor *executor);
aclnnStatus aclSetInputTensorAddr(aclOpExecutor *executor, const size_t index, aclTensor *tensor, void *addr);
aclnnStatus aclSetOutputTensorAddr(aclOpExecutor *executor, const size_t index, aclTensor *tensor, void *addr);
aclnnStatus aclSetTensorAddr(aclOpExecutor *executor, const size_t index, aclTensor *tensor, void *addr);
aclnnStatus aclSetDynamicTensorAddr(
    aclOpExecutor *executor, size_t irIndex, const size_t relativeIndex, aclTensorList *tensors, void *addr);
aclnnStatus aclnnInit(const char *configPath);
aclnnStatus aclnnFinalize(void);

// MARK: - Table

#define ASC_OBJECT_FUNCTIONS(X) \
    X(aclCreateTensor) X(aclCreateScalar) X(aclCreateIntArray) X(aclCreateFloatArray) X(aclCreateBoolArray) \
    X(aclCreateTensorList) X(aclCreateScalarList) X(aclDestroyTensor) X(aclDestroyScalar) X(aclDestroyIntArray) \
    X(aclDestroyFloatArray) X(aclDestroyBoolArray) X(aclDestroyTensorList) X(aclDestroyScalarList) X(aclGetViewShape) \
    X(aclGetStorageShape) X(aclGetViewStrides) X(aclGetViewOffset) X(aclGetFormat) X(aclGetDataType) X(aclInitTensor) \
    X(aclSetRawTensorAddr) X(aclGetRawTensorAddr) X(aclSetAclOpExecutorRepeatable) X(aclDestroyAclOpExecutor) \
    X(aclSetInputTensorAddr) X(aclSetOutputTensorAddr) X(aclSetTensorAddr) X(aclSetDynamicTensorAddr) X(aclnnInit) \
    X(aclnnFinalize)

/// libnnopbase. NULL: not there.
typedef struct {
    ASC_OBJECT_FUNCTIONS(ASC_ENTRY)
} asc_objects;
