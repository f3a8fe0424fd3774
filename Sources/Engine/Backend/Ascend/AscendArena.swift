internal import CAscend

/// A range of device addresses, reserved once, behind which memory is put as it is needed. What is there stays where it
/// is when the arena grows.
final class AscendArena {
    /// The first address; nil while there is no memory at all.
    private(set) var base: UnsafeMutableRawPointer?
    /// Bytes that have memory.
    private(set) var byteCount = 0
    private let device: AscendDevice
    private let capacity: Int
    private let libraries = AscendLibraries.shared
    /// Physical memory behind the range, in order; nil when the range is one plain allocation.
    private var pieces: [(handle: aclrtDrvMemHandle, address: UnsafeMutableRawPointer)]?
    private var granularity = 0

    /// Whether what is in the arena stays where it is.
    var isVirtual: Bool { pieces != nil }

    /// - Parameter capacity: bytes the arena may grow to.
    init(_ device: AscendDevice, capacity: Int) {
        self.device = device
        self.capacity = capacity
        if device.chip.copiesMappedMemory { reserve() }
    }

    /// Without virtual memory in the driver, or with a chip that does not copy from there, the arena is allocated as a whole when it is first used.
    private func reserve() {
        var properties = physicalProperties
        let runtime = libraries.runtime
        guard let granularity = runtime.aclrtMemGetAllocationGranularity, let reserve = runtime.aclrtReserveMemAddress,
            runtime.aclrtMallocPhysical != nil, runtime.aclrtMapMem != nil,
            granularity(&properties, ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED, &self.granularity) == ACL_SUCCESS,
            self.granularity > 0
        else { return }
        // 1 is what other users of the call pass, whatever the documents say.
        let code = DriverCall.during("aclrtReserveMemAddress") { reserve(&base, rounded(capacity), 0, nil, 1) }
        guard code == ACL_SUCCESS, base != nil else {
            base = nil
            return
        }
        pieces = []
    }

    private var physicalProperties: aclrtPhysicalMemProp {
        aclrtPhysicalMemProp(
            handleType: ACL_MEM_HANDLE_TYPE_NONE, allocationType: ACL_MEM_ALLOCATION_TYPE_PINNED,
            memAttr: ACL_HBM_MEM_HUGE,
            location: aclrtMemLocation(id: UInt32(device.index), type: ACL_MEM_LOCATION_TYPE_DEVICE), reserve: 0)
    }

    private func rounded(_ count: Int) -> Int { (count + granularity - 1) / granularity * granularity }

    /// Makes sure that the first `count` bytes have memory.
    ///
    /// A plain allocation moves, with its contents lost; the stream is waited for before that.
    ///
    /// - Throws: what the runtime returned, out of memory above all.
    func ensure(_ count: Int) throws(AscendError) {
        guard count > byteCount else { return }
        guard count <= capacity else {
            throw AscendError(
                "an arena of \(capacity) bytes", code: Int32(ACL_ERROR_RT_MEMORY_ALLOCATION),
                text: "\(count) bytes are needed in it")
        }
        guard pieces != nil else { return try allocate(count) }
        while byteCount < count { try map(min(Self.pieceByteCount, rounded(count - byteCount))) }
    }

    /// Large allocations of physical memory fail where several smaller ones find room.
    private static let pieceByteCount = 256 << 20

    private func map(_ count: Int) throws(AscendError) {
        guard let base else { preconditionFailure("a range was reserved") }
        var properties = physicalProperties
        var handle: aclrtDrvMemHandle?
        let count = rounded(count)
        try libraries.call("aclrtMallocPhysical", libraries.runtime.aclrtMallocPhysical) {
            $0(&handle, count, &properties, 0)
        }
        guard let handle else { throw .absent("aclrtMallocPhysical") }
        let address = base + byteCount
        do throws(AscendError) {
            try libraries.call("aclrtMapMem", libraries.runtime.aclrtMapMem) { $0(address, count, 0, handle, 0) }
        } catch {
            _ = libraries.runtime.aclrtFreePhysical?(handle)
            throw error
        }
        pieces?.append((handle, address))
        byteCount += count
    }

    private func allocate(_ count: Int) throws(AscendError) {
        if let base {
            try device.synchronize(timeout: AscendSession.timeout)
            self.base = nil
            byteCount = 0
            try libraries.call("aclrtFree", libraries.runtime.aclrtFree) { $0(base) }
        }
        try libraries.call("aclrtMalloc", libraries.runtime.aclrtMalloc) {
            $0(&base, count, ACL_MEM_MALLOC_HUGE_FIRST)
        }
        byteCount = count
    }

    /// Gives everything back; nothing on the device may be using it. Failures do not matter: a reset follows.
    func release() {
        let runtime = libraries.runtime
        if let pieces {
            for piece in pieces {
                _ = DriverCall.during("aclrtUnmapMem") { runtime.aclrtUnmapMem?(piece.address) }
                _ = DriverCall.during("aclrtFreePhysical") { runtime.aclrtFreePhysical?(piece.handle) }
            }
            if let base {
                _ = DriverCall.during("aclrtReleaseMemAddress") { runtime.aclrtReleaseMemAddress?(base) }
            }
        } else if let base {
            _ = DriverCall.during("aclrtFree") { runtime.aclrtFree?(base) }
        }
        (base, byteCount, pieces) = (nil, 0, nil)
    }
}

/// Host memory that the device copies from and to by itself.
final class AscendHostBuffer {
    let bytes: UnsafeMutableRawBufferPointer

    /// - Throws: what the runtime returned.
    init(byteCount: Int) throws(AscendError) {
        let libraries = AscendLibraries.shared
        var address: UnsafeMutableRawPointer?
        try libraries.call("aclrtMallocHost", libraries.runtime.aclrtMallocHost) { $0(&address, max(byteCount, 1)) }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: byteCount)
    }

    /// Gives it back; no copy may be under way.
    func release() {
        _ = DriverCall.during("aclrtFreeHost") { AscendLibraries.shared.runtime.aclrtFreeHost?(bytes.baseAddress) }
    }
}
