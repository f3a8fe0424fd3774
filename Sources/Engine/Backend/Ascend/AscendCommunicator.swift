internal import CAscend

/// One rank's end of what the NPUs of a model tell each other, in the order of its device's stream.
final class AscendCommunicator: @unchecked Sendable {  // used by its rank's thread alone
    private let peers: AscendPeers
    private let libraries = AscendLibraries.shared
    private var communicator: HcclComm?

    private init(_ communicator: HcclComm?, _ peers: AscendPeers) {
        (self.communicator, self.peers) = (communicator, peers)
    }

    /// Joins NPUs of this process, in the order of their ranks, before anything is allocated on them.
    ///
    /// - Throws: what the library returned.
    static func join(_ devices: [Int32], _ peers: AscendPeers) throws(AscendError) -> [AscendCommunicator] {
        let libraries = AscendLibraries.shared
        try AscendDevice.initialize(libraries)
        var devices = devices
        var communicators = [HcclComm?](repeating: nil, count: devices.count)
        try libraries.call("HcclCommInitAll", libraries.collectives.HcclCommInitAll) {
            Int32($0(UInt32(devices.count), &devices, &communicators).rawValue)
        }
        return communicators.map { AscendCommunicator($0, peers) }
    }

    /// Leaves the others. Nothing may be on the stream any more.
    func release() {
        if let communicator {
            _ = DriverCall.during("HcclCommDestroy") { libraries.collectives.HcclCommDestroy?(communicator) }
        }
        communicator = nil
    }

    /// Puts on the stream: what is at `place` becomes the sum of what is there on all ranks.
    ///
    /// - Parameter count: elements, the same on all ranks.
    /// - Throws: what the library returned.
    func sum(
        _ place: UnsafeMutableRawPointer, count: Int, _ element: AscendElement, on stream: aclrtStream?
    ) throws(AscendError) {
        try libraries.call("HcclAllReduce", libraries.collectives.HcclAllReduce) {
            Int32(
                $0(place, place, UInt64(count), element.collectiveType, HCCL_REDUCE_SUM, communicator, stream).rawValue)
        }
    }

    /// Puts on the stream: `target` becomes this rank's part of the sum of what is at `source` on all ranks.
    ///
    /// - Parameter count: elements of a part, the same on all ranks.
    /// - Throws: what the library returned.
    func sumRows(
        _ source: UnsafeMutableRawPointer, into target: UnsafeMutableRawPointer, count: Int, _ element: AscendElement,
        on stream: aclrtStream?
    ) throws(AscendError) {
        try libraries.call("HcclReduceScatter", libraries.collectives.HcclReduceScatter) {
            Int32(
                $0(source, target, UInt64(count), element.collectiveType, HCCL_REDUCE_SUM, communicator, stream)
                    .rawValue)
        }
    }

    /// Puts on the stream: `target` becomes what is at `source` on all ranks, in their order.
    ///
    /// - Parameter count: elements at `source`, the same on all ranks.
    /// - Throws: what the library returned.
    func gather(
        _ source: UnsafeMutableRawPointer, into target: UnsafeMutableRawPointer, count: Int, _ element: AscendElement,
        on stream: aclrtStream?
    ) throws(AscendError) {
        try libraries.call("HcclAllGather", libraries.collectives.HcclAllGather) {
            Int32($0(source, target, UInt64(count), element.collectiveType, communicator, stream).rawValue)
        }
    }

    // MARK: - Waiting

    /// Waits until everything on the device's stream is done; not for what a rank that failed will never send.
    ///
    /// - Throws: what became of it; a time-out after `timeout` milliseconds, or as soon as another rank has failed.
    func wait(for device: AscendDevice, timeout: Int32) throws(AscendError) {
        for _ in 0..<timeout / Self.glance {
            do throws(AscendError) {
                return try device.synchronize(timeout: Self.glance)
            } catch  where error.code == Int32(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT) && peers.failed == nil {
                // Still at it.
            }
        }
        try device.synchronize(timeout: Self.glance)
    }

    /// Milliseconds after which a rank looks whether the others are still there.
    private static let glance: Int32 = 50
}

extension AscendElement {
    /// The type as collectives number it.
    fileprivate var collectiveType: HcclDataType {
        switch self {
        case .float32: HCCL_DATA_TYPE_FP32
        case .float16: HCCL_DATA_TYPE_FP16
        case .bfloat16: HCCL_DATA_TYPE_BFP16
        case .int8: HCCL_DATA_TYPE_INT8
        case .int32: HCCL_DATA_TYPE_INT32
        case .int64: HCCL_DATA_TYPE_INT64
        }
    }
}
