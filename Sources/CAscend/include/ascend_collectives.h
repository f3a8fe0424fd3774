#pragma once
// Collectives of libhccl and management of libdcmi. Not linked, see ascend_runtime.h.

#include "ascend_runtime.h"

// MARK: - Collectives

// Ordered by their stream. Every rank passes equal counts, types and operations. Rank 0 makes the root information,
// the others get its bytes by other means, then all call HcclCommInitRootInfo at once, each with its device set.
// Counts of HcclAlltoAllV are uint64 arrays on the host.

HcclResult HcclGetRootInfo(HcclRootInfo *rootInfo);
HcclResult HcclCommInitRootInfo(uint32_t nRanks, const HcclRootInfo *rootInfo, uint32_t rank, HcclComm *comm);
HcclResult HcclCommInitRootInfoConfig(
    uint32_t nRanks, const HcclRootInfo *rootInfo, uint32_t rank, const HcclCommConfig *config, HcclComm *comm);
HcclResult HcclCommInitAll(uint32_t ndev, int32_t *devices, HcclComm *comms);
HcclResult HcclCommDestroy(HcclComm comm);
HcclResult HcclGetRankSize(HcclComm comm, uint32_t *rankSize);
HcclResult HcclGetRankId(HcclComm comm, uint32_t *rank);
HcclResult HcclGetCommName(HcclComm comm, char *commName);
HcclResult HcclAllReduce(
    void *sendBuf, void *recvBuf, uint64_t count, HcclDataType dataType, HcclReduceOp op, HcclComm comm,
    aclrtStream stream);
HcclResult HcclAllGather(
    void *sendBuf, void *recvBuf, uint64_t sendCount, HcclDataType dataType, HcclComm comm, aclrtStream stream);
HcclResult HcclReduceScatter(
    void *sendBuf, void *recvBuf, uint64_t recvCount, HcclDataType dataType, HcclReduceOp op, HcclComm comm,
    aclrtStream stream);
HcclResult HcclBroadcast(
    void *buf, uint64_t count, HcclDataType dataType, uint32_t root, HcclComm comm, aclrtStream stream);
HcclResult HcclSend(
    void *sendBuf, uint64_t count, HcclDataType dataType, uint32_t destRank, HcclComm comm, aclrtStream stream);
HcclResult HcclRecv(
    void *recvBuf, uint64_t count, HcclDataType dataType, uint32_t srcRank, HcclComm comm, aclrtStream stream);
HcclResult HcclAlltoAll(
    const void *sendBuf, uint64_t sendCount, HcclDataType sendType, const void *recvBuf, uint64_t recvCount,
    HcclDataType recvType, HcclComm comm, aclrtStream stream);
HcclResult HcclAlltoAllV(
    const void *sendBuf, const void *sendCounts, const void *sdispls, HcclDataType sendType, const void *recvBuf,
    const void *recvCounts, const void *rdispls, HcclDataType recvType, HcclComm comm, aclrtStream stream);
HcclResult HcclBarrier(HcclComm comm, aclrtStream stream);
HcclResult HcclGetCommAsyncError(HcclComm comm, HcclResult *asyncError);
const char *HcclGetErrorString(HcclResult code);

// MARK: - Management

// 0 is success. Power comes in tenths of a watt (not confirmed on hardware), temperature in degrees Celsius, health as
// 0 for good and rising with severity.

int dcmi_init(void);
int dcmi_get_card_list(int *card_num, int *card_list, int list_len);
int dcmi_get_device_num_in_card(int card_id, int *device_num);
int dcmi_get_card_id_device_id_from_logicid(int *card_id, int *device_id, unsigned int device_logic_id);
int dcmi_get_device_utilization_rate(int card_id, int device_id, int input_type, unsigned int *utilization_rate);
int dcmi_get_device_hbm_info(int card_id, int device_id, struct dcmi_hbm_info *hbm_info);
int dcmi_get_device_power_info(int card_id, int device_id, int *power);
int dcmi_get_device_temperature(int card_id, int device_id, int *temperature);
int dcmi_get_device_health(int card_id, int device_id, unsigned int *health);

// MARK: - Tables

#define ASC_COLLECTIVE_FUNCTIONS(X) \
    X(HcclGetRootInfo) X(HcclCommInitRootInfo) X(HcclCommInitRootInfoConfig) X(HcclCommInitAll) X(HcclCommDestroy) \
    X(HcclGetRankSize) X(HcclGetRankId) X(HcclGetCommName) X(HcclAllReduce) X(HcclAllGather) X(HcclReduceScatter) \
    X(HcclBroadcast) X(HcclSend) X(HcclRecv) X(HcclAlltoAll) X(HcclAlltoAllV) X(HcclBarrier) X(HcclGetCommAsyncError) \
    X(HcclGetErrorString)

#define ASC_MANAGEMENT_FUNCTIONS(X) \
    X(dcmi_init) X(dcmi_get_card_list) X(dcmi_get_device_num_in_card) X(dcmi_get_card_id_device_id_from_logicid) \
    X(dcmi_get_device_utilization_rate) X(dcmi_get_device_hbm_info) X(dcmi_get_device_power_info) \
    X(dcmi_get_device_temperature) X(dcmi_get_device_health)

/// libhccl. NULL: not there.
typedef struct {
    ASC_COLLECTIVE_FUNCTIONS(ASC_ENTRY)
} asc_collectives;

/// libdcmi. NULL: not there.
typedef struct {
    ASC_MANAGEMENT_FUNCTIONS(ASC_ENTRY)
} asc_management;
