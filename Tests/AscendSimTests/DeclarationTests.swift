import CAscend
import Testing

/// What CAscend declares, held against numbers that were printed by a program compiled with CANN's own headers.
@Suite struct DeclarationTests {
    @Test func structuresHaveTheSizesOfTheirLibraries() {
        #expect(MemoryLayout<aclrtUtilizationInfo>.size == 24)
        #expect(MemoryLayout<aclrtPhysicalMemProp>.size == 32)
        #expect(MemoryLayout<aclrtPtrAttributes>.size == 28)
        #expect(MemoryLayout<HcclRootInfo>.size == 4108)
        #expect(MemoryLayout<HcclCommConfig>.size == 300)
        #expect(MemoryLayout<aclDataType>.size == 4)
        #expect(MemoryLayout<dcmi_hbm_info>.size == 32)
    }

    @Test func fieldsStandWhereTheLibrariesLookForThem() {
        #expect(MemoryLayout<aclrtPhysicalMemProp>.offset(of: \.allocationType) == 4)
        #expect(MemoryLayout<aclrtPhysicalMemProp>.offset(of: \.memAttr) == 8)
        #expect(MemoryLayout<aclrtPhysicalMemProp>.offset(of: \.location.id) == 12)
        #expect(MemoryLayout<aclrtPhysicalMemProp>.offset(of: \.location.type) == 16)
        #expect(MemoryLayout<aclrtPhysicalMemProp>.offset(of: \.reserve) == 24)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.magic) == 8)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.version) == 12)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.bufferSize) == 24)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.deterministic) == 28)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.commName) == 32)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.udi) == 160)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.opExpansionMode) == 288)
        #expect(MemoryLayout<HcclCommConfig>.offset(of: \.rdmaServiceLevel) == 296)
        #expect(MemoryLayout<aclrtUtilizationInfo>.offset(of: \.utilizationExtend) == 16)
        #expect(MemoryLayout<dcmi_hbm_info>.offset(of: \.memory_usage) == 16)
    }

    @Test(
        arguments: [
            (ACL_DT_UNDEFINED, -1), (ACL_FLOAT, 0), (ACL_FLOAT16, 1), (ACL_INT8, 2), (ACL_INT32, 3), (ACL_UINT8, 4),
            (ACL_INT16, 6), (ACL_UINT16, 7), (ACL_UINT32, 8), (ACL_INT64, 9), (ACL_UINT64, 10), (ACL_DOUBLE, 11),
            (ACL_BOOL, 12), (ACL_STRING, 13), (ACL_COMPLEX64, 16), (ACL_COMPLEX128, 17), (ACL_BF16, 27), (ACL_INT4, 29),
            (ACL_UINT1, 30), (ACL_COMPLEX32, 33),
        ] as [(aclDataType, Int32)])
    func dataTypes(type: aclDataType, value: Int32) {
        #expect(type.rawValue == value)
    }

    @Test func otherNumbers() {
        #expect(ACL_FORMAT_ND.rawValue == 2)
        #expect(ACL_FORMAT_FRACTAL_NZ.rawValue == 29)
        #expect(ACL_HBM_MEM.rawValue == 1)
        #expect(ACL_HBM_MEM_HUGE.rawValue == 4)
        #expect(ACL_HBM_MEM_HUGE1G.rawValue == 10)
        #expect(ACL_MEM_MALLOC_HUGE1G_ONLY.rawValue == 6)
        #expect(ACL_MEMCPY_DEVICE_TO_DEVICE.rawValue == 3)
        #expect(HCCL_DATA_TYPE_FP16.rawValue == 3)
        #expect(HCCL_DATA_TYPE_FP32.rawValue == 4)
        #expect(HCCL_DATA_TYPE_BFP16.rawValue == 11)
        #expect(HCCL_REDUCE_MIN.rawValue == 3)
        #expect(HCCL_E_SUSPENDING.rawValue == 22)
        #expect(ACL_EVENT_EXTERNAL == 0x20)
        #expect(ACL_EVENT_RECORDED_STATUS_COMPLETE.rawValue == 1)
        #expect(ACL_EVENT_WAIT_STATUS_COMPLETE.rawValue == 0)
        #expect(ACL_MODEL_RI_CAPTURE_MODE_RELAXED.rawValue == 2)
    }

    @Test func everyFunctionHasOneName() {
        var names: Set<String> = []
        var count = 0
        while let name = asc_name(count) {
            names.insert(String(cString: name))
            count += 1
        }
        #expect(names.count == count)
        #expect(names.isSuperset(of: ["aclInit", "aclnnMm", "aclnnMmGetWorkspaceSize", "HcclAllReduce", "dcmi_init"]))
    }
}
