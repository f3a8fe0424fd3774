#pragma once
// Functions of libascendcl (9.x: libacl_rt) as their libraries export them. Nothing here is linked: `asc_load` finds the
// libraries at run time and fills tables of pointers, any of which may be NULL.

#include "ascend_types.h"

// MARK: - Initialisation and errors

// Before any other call of the process: `aclInit(NULL)`; 100002 from a repeated one may be ignored.
// `aclGetRecentErrMsg` returns and clears what the calling thread was told, valid until its next call.
// `aclrtGetSocName` is "Ascend910B3", "Ascend310P3" and so on. Absent from 8.1: aclFinalizeReference,
// aclsysGetVersionStr, aclsysGetVersionNum.

aclError aclInit(const char *configPath);
aclError aclFinalize(void);
aclError aclFinalizeReference(uint64_t *refCount);
aclError aclrtGetVersion(int32_t *majorVersion, int32_t *minorVersion, int32_t *patchVersion);
aclError aclsysGetVersionStr(char *pkgName, char *versionStr);
aclError aclsysGetVersionNum(char *pkgName, int32_t *versionNum);
const char *aclGetRecentErrMsg(void);
aclError aclrtPeekAtLastError(aclrtLastErrLevel level);
aclError aclrtGetLastError(aclrtLastErrLevel level);
const char *aclrtGetSocName(void);

// MARK: - Devices and contexts

// Device and context belong to the calling thread. Threads that set the same device share its default context. Absent
// from 8.1: aclrtGetDeviceInfo.

aclError aclrtGetDeviceCount(uint32_t *count);
aclError aclrtSetDevice(int32_t deviceId);
aclError aclrtGetDevice(int32_t *deviceId);
aclError aclrtResetDevice(int32_t deviceId);
aclError aclrtResetDeviceForce(int32_t deviceId);
aclError aclrtSynchronizeDevice(void);
aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout);
aclError aclrtGetRunMode(aclrtRunMode *runMode);
aclError aclrtQueryDeviceStatus(int32_t deviceId, aclrtDeviceStatus *deviceStatus);
aclError aclrtCreateContext(aclrtContext *context, int32_t deviceId);
aclError aclrtDestroyContext(aclrtContext context);
aclError aclrtSetCurrentContext(aclrtContext context);
aclError aclrtGetCurrentContext(aclrtContext *context);
aclError aclrtCtxSetSysParamOpt(aclSysParamOpt opt, int64_t value);
aclError aclrtSetSysParamOpt(aclSysParamOpt opt, int64_t value);
aclError aclrtDeviceCanAccessPeer(int32_t *canAccessPeer, int32_t deviceId, int32_t peerDeviceId);
aclError aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t flags);
aclError aclGetDeviceCapability(uint32_t deviceId, aclDeviceInfo deviceInfo, int64_t *value);
aclError aclGetCannAttribute(aclCannAttr cannAttr, int32_t *value);
aclError aclrtGetDeviceInfo(uint32_t deviceId, aclrtDevAttr attr, int64_t *value);
aclError aclrtGetDeviceUtilizationRate(int32_t deviceId, aclrtUtilizationInfo *utilizationInfo);

// MARK: - Streams

// NULL is the default stream of the current context. Time-outs are milliseconds, -1 for ever; at the end of one
// 507046. Absent from 8.1: aclrtGetStreamAvailableNum, aclrtCtxGetCurrentDefaultStream.

aclError aclrtCreateStream(aclrtStream *stream);
aclError aclrtCreateStreamWithConfig(aclrtStream *stream, uint32_t priority, uint32_t flag);
aclError aclrtDestroyStream(aclrtStream stream);
aclError aclrtDestroyStreamForce(aclrtStream stream);
aclError aclrtSynchronizeStream(aclrtStream stream);
aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout);
aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus *status);
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event);
aclError aclrtStreamGetId(aclrtStream stream, int32_t *streamId);
aclError aclrtStreamAbort(aclrtStream stream);
aclError aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode);
aclError aclrtSetOpExecuteTimeOut(uint32_t timeout);
aclError aclrtSetOpWaitTimeout(uint32_t timeout);
aclError aclrtGetStreamAvailableNum(uint32_t *streamCount);
aclError aclrtCtxGetCurrentDefaultStream(aclrtStream *stream);

// MARK: - Events

// `aclrtCreateEventExWithFlag` makes events that can be recorded again and again: of those only ones with
// ACL_EVENT_SYNC can be waited for by streams, and none can be reset or asked by aclrtQueryEventWaitStatus.
// `aclrtResetEvent` wants one of aclrtCreateEventWithFlag with ACL_EVENT_SYNC or ACL_EVENT_EXTERNAL. Elapsed time
// wants ACL_EVENT_TIME_LINE.

aclError aclrtCreateEvent(aclrtEvent *event);
aclError aclrtCreateEventWithFlag(aclrtEvent *event, uint32_t flag);
aclError aclrtCreateEventExWithFlag(aclrtEvent *event, uint32_t flag);
aclError aclrtDestroyEvent(aclrtEvent event);
aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus *status);
aclError aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus *status);
aclError aclrtSynchronizeEvent(aclrtEvent event);
aclError aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout);
aclError aclrtEventElapsedTime(float *ms, aclrtEvent startEvent, aclrtEvent endEvent);

// MARK: - Memory

// `aclrtMalloc` gives 64-byte aligned addresses without defined contents and rounds the size up to 32 bytes and 32
// more. `aclrtMemcpyAsync` is asynchronous only where the host side is pinned (aclrtMallocHost, aclrtHostRegister).

aclError aclrtMalloc(void **devPtr, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtMallocAlign32(void **devPtr, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtFree(void *devPtr);
aclError aclrtMallocHost(void **hostPtr, size_t size);
aclError aclrtFreeHost(void *hostPtr);
aclError aclrtHostRegister(void *ptr, uint64_t size, aclrtHostRegisterType type, void **devPtr);
aclError aclrtHostUnregister(void *ptr);
aclError aclrtMemset(void *devPtr, size_t maxCount, int32_t value, size_t count);
aclError aclrtMemsetAsync(void *devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream);
aclError aclrtMemcpy(void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind);
aclError aclrtMemcpyAsync(
    void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind, aclrtStream stream);
aclError aclrtMemcpy2d(
    void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind);
aclError aclrtMemcpy2dAsync(
    void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind,
    aclrtStream stream);
aclError aclrtPointerGetAttributes(const void *ptr, aclrtPtrAttributes *attributes);
aclError aclrtGetMemInfo(aclrtMemAttr attr, size_t *free, size_t *total);
aclError aclrtCmoAsync(void *src, size_t size, aclrtCmoType cmoType, aclrtStream stream);

// MARK: - Virtual memory

// Reserve addresses (alignment 0, flags 1 as other users of the call pass), make physical memory in multiples of the
// granularity, map whole handles at offset 0; unmap before release.

aclError aclrtReserveMemAddress(void **virPtr, size_t size, size_t alignment, void *expectPtr, uint64_t flags);
aclError aclrtReleaseMemAddress(void *virPtr);
aclError aclrtMallocPhysical(aclrtDrvMemHandle *handle, size_t size, const aclrtPhysicalMemProp *prop, uint64_t flags);
aclError aclrtFreePhysical(aclrtDrvMemHandle handle);
aclError aclrtMapMem(void *virPtr, size_t size, size_t offset, aclrtDrvMemHandle handle, uint64_t flags);
aclError aclrtUnmapMem(void *virPtr);
aclError aclrtMemGetAllocationGranularity(
    aclrtPhysicalMemProp *prop, aclrtMemGranularityOptions option, size_t *granularity);

// MARK: - Host functions

// `aclrtLaunchCallback` runs only on the thread that was subscribed for the stream (pthread_self) and loops
// aclrtProcessReport. Absent from 8.1: aclrtLaunchHostFunc, which has a thread of its own and holds the stream until
// it returns.

aclError aclrtLaunchCallback(aclrtCallback fn, void *userData, aclrtCallbackBlockType blockType, aclrtStream stream);
aclError aclrtSubscribeReport(uint64_t threadId, aclrtStream stream);
aclError aclrtProcessReport(int32_t timeout);
aclError aclrtUnSubscribeReport(uint64_t threadId, aclrtStream stream);
aclError aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc fn, void *args);

// MARK: - Graphs

// Between Begin and End the tasks of a stream are recorded, not run; addresses and integer arrays are frozen. A task
// group is replaced between UpdateBegin and UpdateEnd on a stream that does not capture, by as many tasks of the same
// operators. Absent from 8.1: aclmdlRIExecute, aclmdlRIAbort.

aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode);
aclError aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus *status, aclmdlRI *modelRI);
aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI *modelRI);
aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode *mode);
aclError aclmdlRIExecuteAsync(aclmdlRI modelRI, aclrtStream stream);
aclError aclmdlRIExecute(aclmdlRI modelRI, int32_t timeout);
aclError aclmdlRIDestroy(aclmdlRI modelRI);
aclError aclmdlRICaptureTaskGrpBegin(aclrtStream stream);
aclError aclmdlRICaptureTaskGrpEnd(aclrtStream stream, aclrtTaskGrp *handle);
aclError aclmdlRICaptureTaskUpdateBegin(aclrtStream stream, aclrtTaskGrp handle);
aclError aclmdlRICaptureTaskUpdateEnd(aclrtStream stream);
aclError aclmdlRIAbort(aclmdlRI modelRI);

// MARK: - Table

/// Every function of the runtime, for tables and lists of names.
#define ASC_RUNTIME_FUNCTIONS(X) \
    X(aclInit) X(aclFinalize) X(aclFinalizeReference) X(aclrtGetVersion) X(aclsysGetVersionStr) \
    X(aclsysGetVersionNum) X(aclGetRecentErrMsg) X(aclrtPeekAtLastError) X(aclrtGetLastError) X(aclrtGetSocName) \
    X(aclrtGetDeviceCount) X(aclrtSetDevice) X(aclrtGetDevice) X(aclrtResetDevice) X(aclrtResetDeviceForce) \
    X(aclrtSynchronizeDevice) X(aclrtSynchronizeDeviceWithTimeout) X(aclrtGetRunMode) X(aclrtQueryDeviceStatus) \
    X(aclrtCreateContext) X(aclrtDestroyContext) X(aclrtSetCurrentContext) X(aclrtGetCurrentContext) \
    X(aclrtCtxSetSysParamOpt) X(aclrtSetSysParamOpt) X(aclrtDeviceCanAccessPeer) X(aclrtDeviceEnablePeerAccess) \
    X(aclGetDeviceCapability) X(aclGetCannAttribute) X(aclrtGetDeviceInfo) X(aclrtGetDeviceUtilizationRate) \
    X(aclrtCreateStream) X(aclrtCreateStreamWithConfig) X(aclrtDestroyStream) X(aclrtDestroyStreamForce) \
    X(aclrtSynchronizeStream) X(aclrtSynchronizeStreamWithTimeout) X(aclrtStreamQuery) X(aclrtStreamWaitEvent) \
    X(aclrtStreamGetId) X(aclrtStreamAbort) X(aclrtSetStreamFailureMode) X(aclrtSetOpExecuteTimeOut) \
    X(aclrtSetOpWaitTimeout) X(aclrtGetStreamAvailableNum) X(aclrtCtxGetCurrentDefaultStream) X(aclrtCreateEvent) \
    X(aclrtCreateEventWithFlag) X(aclrtCreateEventExWithFlag) X(aclrtDestroyEvent) X(aclrtRecordEvent) \
    X(aclrtResetEvent) X(aclrtQueryEventStatus) X(aclrtQueryEventWaitStatus) X(aclrtSynchronizeEvent) \
    X(aclrtSynchronizeEventWithTimeout) X(aclrtEventElapsedTime) X(aclrtMalloc) X(aclrtMallocAlign32) X(aclrtFree) \
    X(aclrtMallocHost) X(aclrtFreeHost) X(aclrtHostRegister) X(aclrtHostUnregister) X(aclrtMemset) \
    X(aclrtMemsetAsync) X(aclrtMemcpy) X(aclrtMemcpyAsync) X(aclrtMemcpy2d) X(aclrtMemcpy2dAsync) \
    X(aclrtPointerGetAttributes) X(aclrtGetMemInfo) X(aclrtCmoAsync) X(aclrtReserveMemAddress) \
    X(aclrtReleaseMemAddress) X(aclrtMallocPhysical) X(aclrtFreePhysical) X(aclrtMapMem) X(aclrtUnmapMem) \
    X(aclrtMemGetAllocationGranularity) X(aclrtLaunchCallback) X(aclrtSubscribeReport) X(aclrtProcessReport) \
    X(aclrtUnSubscribeReport) X(aclrtLaunchHostFunc) X(aclmdlRICaptureBegin) X(aclmdlRICaptureGetInfo) \
    X(aclmdlRICaptureEnd) X(aclmdlRICaptureThreadExchangeMode) X(aclmdlRIExecuteAsync) X(aclmdlRIExecute) \
    X(aclmdlRIDestroy) X(aclmdlRICaptureTaskGrpBegin) X(aclmdlRICaptureTaskGrpEnd) X(aclmdlRICaptureTaskUpdateBegin) \
    X(aclmdlRICaptureTaskUpdateEnd) X(aclmdlRIAbort)

#define ASC_ENTRY(function) __typeof__(function) *function;

/// libascendcl, or libacl_rt. NULL: not there.
typedef struct {
    ASC_RUNTIME_FUNCTIONS(ASC_ENTRY)
} asc_runtime;
